"""`mekiki bundle` where nothing of training is installed, or as if: put together, look, compare."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.bundle.pull import pull
from worker.errors import BundleError, ConfigurationError
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


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STARTER_BUNDLE, tmp_path / "stored"))


def digest(bundle: Path) -> str:
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_a_bundle_is_pulled_whole_and_only_once(stored: Path, tmp_path: Path) -> None:
    (stored / "beside.onnx").write_bytes(b"not listed")
    folder = tmp_path / "mount"
    folder.mkdir()
    done = mekiki("bundle", "pull", f"file://{stored}", folder, "--sha256", digest(stored))
    assert (done.returncode, done.stdout.strip()) == (0, read_manifest(STARTER_BUNDLE)[1]), done.stderr
    listed = {file.name for file in read_manifest(folder)[0].files}
    assert {path.name for path in folder.iterdir()} == {*listed, "manifest.json"}
    before = (folder / "manifest.json").stat().st_ino
    assert pull(f"file://{stored}", folder) == done.stdout.strip()
    assert (folder / "manifest.json").stat().st_ino == before
    again = mekiki("bundle", "pull", f"file://{stored}", folder, "--sha256", "0" * 64)
    assert (again.returncode, "another bundle" in again.stderr) == (2, True), again.stderr


@pytest.mark.parametrize("told", ["less than", "more than", "damaged", "cannot be had"])
def test_what_is_damaged_leaves_no_bundle_and_the_one_before_as_it_is(
    stored: Path, tmp_path: Path, told: str
) -> None:
    largest = max(read_manifest(stored)[0].files, key=lambda file: file.bytes)
    at = stored / largest.name
    whole = at.read_bytes()
    other = bytearray(whole)
    other[len(whole) // 2] ^= 1
    faults = {"less than": whole[:-1], "more than": whole + b"!", "damaged": bytes(other)}
    before = Path(shutil.copytree(STARTER_BUNDLE, tmp_path / "before"))
    (before / "manifest.json").write_bytes(
        (before / "manifest.json").read_bytes() + b" "
    )  # another release's
    at.unlink()
    if told in faults:
        at.write_bytes(faults[told])
    for folder in (tmp_path / "new", before):
        with pytest.raises(BundleError, match=told) as caught:
            pull(f"file://{stored}", folder)
        assert largest.name in str(caught.value)
        assert not (folder / ".pull").exists()
    assert not (tmp_path / "new" / "manifest.json").exists()
    read_manifest(before)
    at.write_bytes(whole)
    for folder in (tmp_path / "new", before):
        assert pull(f"file://{stored}", folder) == read_manifest(stored)[1]


def test_what_is_no_bundle_and_no_store_says_so(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is none of"):
        pull("ftp://host/bundle", tmp_path / "new")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        pull(f"file://{tmp_path}/none", tmp_path / "new")
    (stored / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="does not fit"):
        pull(f"file://{stored}", tmp_path / "new")
