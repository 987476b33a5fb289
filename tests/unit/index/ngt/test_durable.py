"""Everything of a tree is synced, files before the directories that name them."""

import os

import pytest

from worker.index.ngt.durable import sync_directory, sync_tree


@pytest.fixture
def synced(monkeypatch):
    """The paths that were given to fsync(2), in order."""
    paths = []
    real = os.fsync

    def fsync(descriptor):
        paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_every_file_and_directory_of_a_tree_once_the_deepest_first(tmp_path, synced):
    (tmp_path / "ngt").mkdir()
    files = [tmp_path / "manifest.json", tmp_path / "ngt" / "grp", tmp_path / "ngt" / "obj"]
    for file in files:
        file.write_bytes(b"x")
    sync_tree(tmp_path)
    assert sorted(synced) == sorted(map(str, [*files, tmp_path, tmp_path / "ngt"]))
    assert synced.index(str(tmp_path / "ngt" / "grp")) < synced.index(str(tmp_path / "ngt"))
    assert synced[-1] == str(tmp_path)


def test_a_directory_alone(tmp_path, synced):
    (tmp_path / "file").write_bytes(b"x")
    sync_directory(tmp_path)
    assert synced == [str(tmp_path)]


def test_what_is_no_directory_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
