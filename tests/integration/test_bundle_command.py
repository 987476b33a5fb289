"""`mekiki bundle` where nothing of training is installed, or as if: put together, look, compare."""

import json
import subprocess
import sys
from pathlib import Path

from worker.model.bundle import read_manifest
from worker.settings import STARTER_BUNDLE

_WITHOUT_TRAINING = """
import sys
for name in ("torch", "torchvision", "onnx", "onnxscript", "tqdm", "pyarrow"):
    sys.modules[name] = None  # an import of it fails
from worker.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def mekiki(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _WITHOUT_TRAINING, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_bundle_is_put_together_shown_and_compared_without_training(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    part = f"{STARTER_BUNDLE}:text,tags"
    done = mekiki("bundle", "assemble", "--part", part, "--name", "two", "--version", "1", "--out", out)
    assert done.returncode == 0, done.stderr
    manifest, identifier = read_manifest(out)
    assert [head.kind for head in manifest.heads] == ["novelty", "tags"]
    assert manifest.embedding is None
    shown = mekiki("bundle", "show", out)
    assert shown.stdout.startswith(identifier)
    assert "head tags: a forest of tags" in shown.stdout
    compared = mekiki("bundle", "diff", STARTER_BUNDLE, out)
    assert compared.returncode == 1
    assert "- head qr:" in compared.stdout
    assert "head text" not in compared.stdout
    assert mekiki("bundle", "diff", out, out).returncode == 0


def test_without_an_embedding_the_index_role_refuses_and_a_scan_judges(tmp_path: Path) -> None:
    out, results = tmp_path / "bundle", tmp_path / "results.jsonl"
    part = f"{STARTER_BUNDLE}:text"
    assert (
        mekiki("bundle", "assemble", "--part", part, "--name", "t", "--version", "1", "--out", out).returncode
        == 0
    )
    bundle = f"model.bundle={out}"
    refused = mekiki("index", "--set", bundle, "--set", f"index.directory={tmp_path / 'index'}")
    assert refused.returncode == 2
    assert "has no embedding" in refused.stderr
    pictures = Path(__file__).parents[2] / "worker" / "demo" / "assets" / "qr"
    done = mekiki("scan", pictures, "--out", results, "--vectors", "--set", bundle)
    assert done.returncode == 0, done.stderr
    for line in map(json.loads, results.read_text().splitlines()):
        assert set(line["scores"]) == {"text"}
        assert line["tags"] == []
        assert "vector" not in line


def test_a_part_that_needs_training_says_so(tmp_path: Path) -> None:
    done = mekiki(
        "bundle",
        "assemble",
        "--part",
        f"{tmp_path}:seed=1",
        "--name",
        "x",
        "--version",
        "1",
        "--out",
        tmp_path / "o",
    )
    assert done.returncode == 2
    assert "install mekiki[train]" in done.stderr
