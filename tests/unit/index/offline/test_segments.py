from datetime import UTC, datetime

import pytest

from tests.unit.index.indexing import filled, open_directory, start_here
from worker.index.ngt.live import Batch
from worker.index.offline.owned import open_newest
from worker.index.offline.segments import build_segments, publish_alone


def batches(count):
    for _ in range(count):
        yield filled(5)[0].freeze().batch


def test_a_failure_leaves_nothing(tmp_path):
    directory = open_directory(tmp_path)

    def failing():
        yield from batches(2)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        build_segments(directory, failing(), start_here)
    assert list(tmp_path.iterdir()) == []


def test_what_is_published_is_alone(tmp_path):
    directory = open_directory(tmp_path)
    for _ in range(2):
        made = build_segments(directory, batches(1), start_here)
        publish_alone(directory, made, {0: 5}, datetime.now(UTC))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generation-00000002", "segment-00000002"]
    assert open_newest(tmp_path).manifest.offsets == {0: 5}


def test_nothing_is_built_of_nothing(tmp_path):
    with pytest.raises(AssertionError, match="without images"):
        build_segments(open_directory(tmp_path), [Batch((), 0)], start_here)
