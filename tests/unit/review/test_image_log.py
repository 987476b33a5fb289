"""Which verdict holds for an image is told by the log, not by clocks."""

from tests.unit.records import record
from worker.review.image_log import latest


def test_the_last_in_its_partition_holds_whatever_the_time_of_the_records():
    first, last = record(offset=4, timestamp_ms=900), record(offset=5, timestamp_ms=100)
    assert latest([last, first]) is last
    assert latest([first]) is first


def test_after_partitions_were_added_the_time_of_the_records_tells():
    before = [record(partition=0, offset=offset, timestamp_ms=offset) for offset in (70, 80)]
    after = record(partition=3, offset=0, timestamp_ms=100)
    assert latest([*before, after]) is after
    assert latest([after, before[1]]) is after
