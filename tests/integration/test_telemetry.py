"""ONNX Runtime's telemetry, which is on by default, stays off: it would leave files, then packets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["worker", "export"])
def test_onnxruntime_prepares_no_telemetry(package: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    code = (
        f"import {package}, onnxruntime; onnxruntime.SessionOptions(); onnxruntime.get_available_providers()"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == []
