"""What a bundle's directory holds: listed files themselves, and nothing else that is read."""

import os
import shutil
from pathlib import Path

import pytest

from worker.errors import BundleError
from worker.model.bundle import read_manifest

BUNDLE = Path("tests/golden/signed_bundle")


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(BUNDLE, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["graph.onnx", "manifest.json"])
@pytest.mark.parametrize("to", ["inside", "outside", "nowhere"])
def test_a_linked_file_is_refused_by_name(copy, tmp_path, name, to):
    target = {"inside": copy / ".other", "outside": tmp_path / "other", "nowhere": tmp_path / "none"}[to]
    if to != "nowhere":
        (copy / name).rename(target)
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(target)
    with pytest.raises(BundleError, match=rf"{name} is a link: copy the file itself"):
        read_manifest(copy)


def test_a_directory_may_be_reached_by_a_link(copy, tmp_path):
    (tmp_path / "current").symlink_to(copy)
    assert read_manifest(tmp_path / "current") == read_manifest(copy)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_without_waiting(copy, make):
    (copy / "graph.onnx").unlink()
    make(copy / "graph.onnx")
    with pytest.raises(BundleError, match=r"graph\.onnx"):
        read_manifest(copy)


@pytest.mark.parametrize("name", ["weights.bin", "graph.onnx.data", "README.md", "manifest.json.orig"])
def test_a_file_that_the_manifest_does_not_list_is_refused_by_name(copy, name):
    (copy / name).write_bytes(b"weights")
    with pytest.raises(BundleError, match=rf"has '{name}', which its manifest does not list"):
        read_manifest(copy)


def test_a_link_that_the_manifest_does_not_list_is_refused_too(copy):
    (copy / "more").symlink_to("/etc")
    with pytest.raises(BundleError, match="has 'more', which its manifest does not list"):
        read_manifest(copy)


def test_what_volumes_and_tools_leave_is_passed_over(copy):
    for folder in (".git", "lost+found", ".pull"):
        (copy / folder).mkdir()
        (copy / folder / "weights.bin").write_bytes(b"weights")
    (copy / ".gitattributes").write_text("* -text")
    (copy / "..data").symlink_to(".git")
    assert read_manifest(copy) == read_manifest(BUNDLE)
