import pytest

from tests.unit.index.indexing import assert_holds, start_here
from worker.index.offline.compact import compact
from worker.index.offline.owned import open_newest
from worker.index.offline.verify import verify


@pytest.mark.parametrize(("largest", "segments"), [(100, 1), (20, 3), (7, 7)])
def test_what_counts_stays_and_the_rest_is_gone(index_directory, largest, segments):
    path, vectors = index_directory
    before = open_newest(path).manifest
    done = compact(path, start_here, largest)
    after = open_newest(path)
    assert_holds(after, vectors)
    assert (after.manifest.offsets, after.manifest.created_at) == (before.offsets, before.created_at)
    assert (done.segments, done.dropped) == ((2, segments), 20)
    assert sum(len(segment) for segment in after.segments) == len(vectors)
    assert sorted(file.name[:11] for file in path.iterdir()) == ["generation-"] + ["segment-000"] * segments
    assert not any(found.faults for found in verify(path))


def test_again_it_builds_nothing(index_directory):
    path, vectors = index_directory
    compact(path, start_here)
    done = compact(path, lambda *_: pytest.fail("nothing is to be built"))
    assert (done.segments, done.dropped) == ((1, 1), 0)
    assert_holds(open_newest(path), vectors)


def test_a_failure_leaves_the_directory_as_it_was(index_directory):
    path, vectors = index_directory
    before = sorted(file.relative_to(path) for file in path.rglob("*"))

    def failing(directory, batch):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        compact(path, failing)
    assert sorted(file.relative_to(path) for file in path.rglob("*")) == before
    assert_holds(open_newest(path), vectors)
