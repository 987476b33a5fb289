import pytest

from tests.unit.index.indexing import assert_holds
from worker.errors import IndexDirectoryError
from worker.index.ngt.checksums import Damaged
from worker.index.offline.owned import generation_paths, open_newest, owned
from worker.index.owner import OwnerLock


def test_what_a_role_owns_is_refused(index_directory):
    path, _ = index_directory
    with OwnerLock(path), pytest.raises(IndexDirectoryError, match="owned by process"), owned(path):
        pass
    with owned(path), pytest.raises(IndexDirectoryError, match="owned by process"):
        OwnerLock(path)


def test_what_is_no_directory_is_not_made(tmp_path):
    with pytest.raises(IndexDirectoryError, match="--directory"), owned(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


def test_the_newest_generation_is_opened_whole_or_not_at_all(index_directory):
    path, vectors = index_directory
    assert_holds(open_newest(path), vectors)
    file = path / "segment-00000002" / "vectors.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Damaged, match="mekiki index verify"):
        open_newest(path)
    assert [each.name for each in generation_paths(path)] == ["generation-00000002", "generation-00000001"]


def test_a_directory_without_a_generation_says_so(tmp_path):
    with pytest.raises(IndexDirectoryError, match="no generation"):
        open_newest(tmp_path)
