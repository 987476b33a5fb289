"""The ledger advances over unbroken runs only, and forgets what is revoked."""

import random

from confluent_kafka import TopicPartition

from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.score.ledger import Ledger
from worker.score.outcome import Rejected

OUTCOME = Rejected(Rejection(RejectionReason.SOURCE_EMPTY, "empty"))


def partitions(*numbers):
    return [TopicPartition("uploads", number) for number in numbers]


def track(ledger, offset, partition=0, value=b"12345"):
    return ledger.track(record(value, partition=partition, offset=offset))


def next_offsets(ledger, limit=100):
    return {at.partition: at.offset for at in ledger.finished(limit).offsets}


def test_an_unfinished_event_holds_back_those_behind_it():
    ledger = Ledger()
    ledger.assign(partitions(0, 1))
    first, second = track(ledger, 10), track(ledger, 12)
    other = track(ledger, 7, partition=1)
    second.outcome = other.outcome = OUTCOME
    assert next_offsets(ledger) == {1: 8}
    first.outcome = OUTCOME
    assert next_offsets(ledger) == {0: 13, 1: 8}


def test_committed_events_are_forgotten_and_their_room_is_free():
    ledger = Ledger()
    ledger.assign(partitions(0))
    entries = [track(ledger, offset) for offset in range(4)]
    for entry in entries[:2]:
        entry.outcome = OUTCOME
    assert (ledger.in_flight, ledger.in_flight_bytes) == (4, 20)
    ledger.committed(ledger.finished(100).offsets)
    assert (ledger.in_flight, ledger.in_flight_bytes) == (2, 10)
    assert ledger.finished(100).entries == []


def test_the_limit_bounds_one_commit():
    ledger = Ledger()
    ledger.assign(partitions(0, 1))
    for partition in (0, 1):
        for offset in range(5):
            track(ledger, offset, partition).outcome = OUTCOME
    assert len(ledger.finished(7).entries) == 7
    assert next_offsets(ledger, 7) == {0: 5, 1: 2}


def test_records_of_foreign_partitions_are_not_tracked():
    ledger = Ledger()
    ledger.assign(partitions(0))
    assert track(ledger, 5) is not None
    assert track(ledger, 0, partition=3) is None


def test_after_a_reset_lower_offsets_are_tracked_and_what_was_in_flight_counts_for_nothing():
    ledger = Ledger()
    ledger.assign(partitions(0, 1))
    old, elsewhere = [track(ledger, offset) for offset in (18, 19)], track(ledger, 3, partition=1)
    assert ledger.reset("uploads", 0) == {18, 19}
    assert (ledger.in_flight, ledger.in_flight_bytes) == (1, 5)
    new = track(ledger, 0)
    for entry in (*old, new, elsewhere):
        entry.outcome = OUTCOME
    assert next_offsets(ledger) == {0: 1, 1: 4}
    assert [record.offset for record, _ in ledger.finished(100).entries] == [0, 3]
    assert ledger.reset("uploads", 7) == set()


def test_a_record_of_several_events_is_finished_when_each_of_them_is():
    ledger = Ledger()
    ledger.assign(partitions(0))
    whole, behind = track(ledger, 3, value=b"123456"), track(ledger, 4, value=b"1")
    parts = ledger.split(whole, [b"12", b"34", b"5678"])
    assert (ledger.in_flight, ledger.in_flight_bytes) == (4, 9), "the events, and the bytes that are held"
    assert [(part.record.offset, part.record.entry) for part in parts] == [(3, 0), (3, 1), (3, 2)]
    behind.outcome = parts[2].outcome = parts[0].outcome = OUTCOME
    assert next_offsets(ledger) == {}
    parts[1].outcome = OUTCOME
    finished = ledger.finished(100)
    assert [(r.offset, r.entry, r.value) for r, _ in finished.entries] == [
        (3, 0, b"12"),
        (3, 1, b"34"),
        (3, 2, b"5678"),
        (4, None, b"1"),
    ]
    ledger.committed(finished.offsets)
    assert (ledger.in_flight, ledger.in_flight_bytes) == (0, 0)


def test_the_events_of_one_record_are_committed_together_whatever_the_limit():
    ledger = Ledger()
    ledger.assign(partitions(0))
    first, second = track(ledger, 0), track(ledger, 1)
    second.outcome = OUTCOME
    for part in ledger.split(first, [b"1"] * 5):
        part.outcome = OUTCOME
    finished = ledger.finished(2)
    assert [record.offset for record, _ in finished.entries] == [0] * 5
    assert next_offsets(ledger, 2) == {0: 1}


def test_a_record_that_turns_out_as_several_after_its_revocation_is_nobodys():
    ledger = Ledger()
    ledger.assign(partitions(0))
    late, split = track(ledger, 0), track(ledger, 1)
    parts = ledger.split(split, [b"1", b"2"])
    ledger.revoke(partitions(0))
    assert ledger.split(late, [b"1", b"2"]) == []
    assert not any(part.is_ours for part in parts)
    assert (ledger.in_flight, ledger.in_flight_bytes) == (0, 0)


def test_what_finishes_after_a_revocation_is_not_committed_by_us():
    ledger = Ledger()
    ledger.assign(partitions(0))
    late = track(ledger, 0)
    ledger.revoke(partitions(0))
    assert (ledger.in_flight, ledger.in_flight_bytes) == (0, 0)
    ledger.assign(partitions(0))
    late.outcome = OUTCOME
    assert ledger.finished(100).entries == []
    assert track(ledger, 0) is not None, "the same record, read again by the same worker"


def test_any_order_of_finishing_commits_every_event_once():
    rng = random.Random(7)
    ledger = Ledger()
    ledger.assign(partitions(0, 1, 2))
    entries = [track(ledger, offset, partition) for partition in range(3) for offset in range(50)]
    rng.shuffle(entries)
    committed = []
    for entry in entries:
        entry.outcome = OUTCOME
        if rng.random() < 0.2:
            finished = ledger.finished(rng.randint(1, 9))
            committed += [(r.partition, r.offset) for r, _ in finished.entries]
            ledger.committed(finished.offsets)
    finished = ledger.finished(1000)
    committed += [(r.partition, r.offset) for r, _ in finished.entries]
    ledger.committed(finished.offsets)
    assert sorted(committed) == [(p, o) for p in range(3) for o in range(50)]
    assert (ledger.in_flight, ledger.in_flight_bytes) == (0, 0)
