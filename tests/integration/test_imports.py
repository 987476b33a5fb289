"""What serving brings into a process: none of training."""

import json
import subprocess
import sys

import pytest

_TRAINING = ("torch", "torchvision", "export", "sklearn", "pandas", "matplotlib", "onnxscript")


def modules_after(statement: str) -> set[str]:
    """The names of the top-level packages in a fresh interpreter after `statement`."""
    tell = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{tell}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["worker", "worker.cli", "worker.compose"])
def test_serving_brings_in_nothing_of_training(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert "worker" in loaded
    assert loaded.isdisjoint(_TRAINING), loaded & set(_TRAINING)


def test_every_module_of_worker_and_schemas_imports_without_training() -> None:
    walk = (
        "import pkgutil, importlib, worker, schemas\n"
        "for package in (worker, schemas):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not found.name.endswith('__main__'): importlib.import_module(found.name)"
    )
    loaded = modules_after(walk)
    assert {"worker", "schemas", "onnxruntime"} <= loaded
    assert loaded.isdisjoint(_TRAINING), loaded & set(_TRAINING)
