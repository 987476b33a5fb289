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


def test_records_of_foreign_partitions_and_repeats_are_not_tracked():
    ledger = Ledger()
    ledger.assign(partitions(0))
    assert track(ledger, 5) is not None
    assert track(ledger, 5) is None
    assert track(ledger, 4) is None
    assert track(ledger, 0, partition=3) is None


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
