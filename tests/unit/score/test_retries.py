"""Events that come back: when, for how long, and never behind what is newer of their image."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from schemas.events import DELETED, ImageDeleted, ImageReference, ImageReviewed, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection, StoreFailed
from worker.health import Health
from worker.metrics import Metrics
from worker.score.outcome import Parked, PassedOver, PassOverReason, Rejected, Removal, Verdict
from worker.score.retries import Retries
from worker.stream.kafka import InputRecord
from worker.stream.record_limits import RecordLimits
from worker.stream.retry import parked_record, read_note
from worker.stream.unreadable import Unreadable

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FAILURE = StoreFailed(RejectionReason.FETCH_UNREACHABLE, "no", "shop.test")
OVERTAKEN = PassedOver(PassOverReason.OVERTAKEN)


class Topic:
    """The retry topic's partition 0, a consumer of it, and the committed offset."""

    def __init__(self):
        self.records = []
        self.offset = 0  # committed
        self.position = 0
        self.paused = False
        self.now_ms = 1

    def write(self, out):
        at = len(self.records)
        self.records.append(InputRecord(out.topic, 0, at, out.key, out.value, out.headers, self.now_ms))

    # of the reader
    def read(self, _consumer, _partitions, starts):
        return self.records[starts[0] :]

    def close(self):
        pass

    # of the consumers
    def committed(self, partitions, timeout):
        return [TopicPartition(at.topic, at.partition, self.offset) for at in partitions]

    def incremental_assign(self, partitions):
        self.position = partitions[0].offset

    def incremental_unassign(self, _):
        pass

    def pause(self, _):
        self.paused = True

    def resume(self, _):
        self.paused = False

    def consume(self, count, _):
        assert not self.paused
        found, self.position = self.records[self.position :][:count], len(self.records)
        return [Message(one) for one in found]


class Message:
    """A record as a consumer gives it."""

    def __init__(self, given):
        self.given = given

    def error(self):
        return None

    def timestamp(self):
        return 1, self.given.timestamp_ms

    def __getattr__(self, name):
        return lambda: getattr(self.given, name)


class Worker:
    """An owner of partition 0 with a clock of its own."""

    def __init__(self, topic, retry_for=3600.0):
        self.topic, self.now, self.recovered = topic, 10_000.0, {}
        self.metrics, self.limits = Metrics(CollectorRegistry()), RecordLimits(["retry"])
        self.retries = Retries(
            cast(Any, topic), cast(Any, topic), "retry", retry_for, 1.0, self.metrics,
            Unreadable("score", self.metrics, Health(60, ())), self.limits, lambda: self.now,
            lambda host: self.recovered.get(host, 0.0),
        )  # fmt: skip
        self.retries.take(cast(Any, topic), [TopicPartition("uploads", 0)])

    def commit(self, *entries):
        settled = self.retries.applied(entries)
        for at, outcome in settled:
            if isinstance(outcome, Parked):
                self.topic.write(parked_record("retry", at, outcome.parking, outcome.failure))
        for mark in self.retries.records():
            self.topic.write(mark)
        self.retries.committed()
        return [outcome for _, outcome in settled]

    def waiting(self):
        return self.metrics.registry.get_sample_value("mekiki_retry_waiting_events")


def upload(offset, hours=0, image_id="i"):
    """An upload of an image, and where it stands."""
    event = ImageUploaded(
        event_id=f"e{offset}",
        image_id=image_id,
        uploaded_at=NOON + timedelta(hours=hours),
        image=ImageReference(url="https://shop.test/a"),
    )
    return record(b"{}", offset=offset), event


def parked(offset, hours=0, image_id="i"):
    at, event = upload(offset, hours, image_id)
    return at, Parked(FAILURE, event)


def judged(at, event):
    return at, Verdict(event, "0" * 64, "accept", [], {}, [], None, NOON)


def deleted(offset, hours=0, image_id="i"):
    event = ImageDeleted(
        type=DELETED, event_id=f"d{offset}", image_id=image_id, deleted_at=NOON + timedelta(hours=hours)
    )
    return record(b"{}", offset=offset), Removal(event)


def due(worker):
    return [event for _, event in worker.retries.due()]


def test_what_is_parked_comes_back_when_it_is_due_with_growing_delays():
    worker = Worker(Topic())
    (outcome,) = worker.commit(parked(5))
    delays = []
    for _ in range(8):
        delays.append(outcome.parking.due_ms / 1000 - worker.now)
        assert due(worker) == []
        worker.now += delays[-1] + 0.01
        (event,) = due(worker)
        assert (event.topic, event.offset) == ("uploads", 5)
        assert worker.waiting() == 1
        (outcome,) = worker.commit((event, Parked(FAILURE, upload(5)[1])))
    assert delays == pytest.approx([15, 30, 60, 120, 240, 480, 600, 600], rel=0.11)
    assert worker.waiting() == 1


def test_what_is_parked_comes_back_as_soon_as_its_host_serves_again():
    topic = Topic()
    worker = Worker(topic)
    topic.now_ms = int(worker.now * 1000)
    worker.commit(parked(5), parked(6, image_id="other"))
    worker.recovered = {"shop.test": worker.now - 1, "another.test": worker.now + 1}
    assert due(worker) == [], "that was before they were parked, or another host"
    worker.now += 3
    worker.recovered["shop.test"] = worker.now
    back = due(worker)
    assert [event.offset for event in back] == [5, 6]
    topic.now_ms = int(worker.now * 1000) + 1
    worker.commit((back[0], Parked(FAILURE, upload(5)[1])), judged(back[1], upload(6, image_id="other")[1]))
    assert due(worker) == [], "it failed once more since"
    worker.now += 40
    assert [event.offset for event in due(worker)] == [5]


def test_a_server_that_asks_for_patience_decides_when():
    worker = Worker(Topic())
    at, outcome = parked(5)
    busy = StoreFailed(RejectionReason.FETCH_UNREACHABLE, "busy", "shop.test", retry_after=200)
    (outcome,) = worker.commit((at, replace(outcome, failure=busy)))
    assert outcome.parking.due_ms / 1000 - worker.now == 200


def test_after_hours_it_is_rejected_with_its_own_reason():
    worker = Worker(Topic(), retry_for=100)
    worker.commit(parked(5))
    worker.now += 101
    (event,) = due(worker)
    (outcome,) = worker.commit((event, Parked(FAILURE, upload(5)[1])))
    assert isinstance(outcome, Rejected)
    assert outcome.rejection is FAILURE
    assert worker.waiting() == 0


def come_back(worker):
    worker.now += 700
    (event,) = [found for found in due(worker) if found is not None]
    return event


NEWER = [
    pytest.param(lambda: judged(*upload(9, hours=1)), id="a newer upload"),
    pytest.param(lambda: deleted(9, hours=1), id="a deletion"),
    pytest.param(lambda: judged(*upload(9)), id="the same time, further on"),
    pytest.param(lambda: parked(9, hours=1), id="a newer upload that is parked as well"),
    pytest.param(
        lambda: (upload(9)[0], Rejected(Rejection(RejectionReason.IMAGE_CORRUPT, "no"), upload(9, 1)[1])),
        id="a newer upload that was rejected",
    ),
]


@pytest.mark.parametrize("newer", NEWER)
@pytest.mark.parametrize("restarted", [False, True])
def test_what_something_newer_has_overtaken_is_passed_over(newer, restarted):
    topic = Topic()
    worker = Worker(topic)
    worker.commit(parked(5))
    worker.commit(newer())
    if restarted:
        worker = Worker(topic)
    worker.now += 700
    event = next(found for found in due(worker) if found is not None and found.offset == 5)
    assert worker.commit(judged(event, upload(5)[1])) == [OVERTAKEN]


@pytest.mark.parametrize("newer", NEWER)
def test_also_where_both_are_committed_at_once(newer):
    worker = Worker(Topic())
    worker.commit(parked(5))
    event = come_back(worker)
    first, second = worker.commit(judged(event, upload(5)[1]), newer())
    assert first == OVERTAKEN
    assert second != OVERTAKEN


def test_also_where_it_is_parked_again_after_it():
    worker = Worker(Topic())
    worker.commit(parked(5))
    event = come_back(worker)
    worker.commit((event, Parked(FAILURE, upload(5)[1])))
    worker.commit(deleted(9, hours=1))
    worker = Worker(worker.topic)
    worker.topic.offset = 1
    worker = Worker(worker.topic)
    worker.now = 20_000.0
    assert worker.commit(judged(come_back(worker), upload(5)[1])) == [OVERTAKEN]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: judged(*upload(9, hours=-1)), id="an older upload that came later"),
        pytest.param(lambda: deleted(9, hours=-1), id="an older deletion"),
        pytest.param(lambda: deleted(9, hours=1, image_id="j"), id="of another image"),
        pytest.param(lambda: (record(b"", offset=9), PassedOver(PassOverReason.TEST)), id="of none"),
        pytest.param(
            lambda: (record(b"", offset=9), Rejected(Rejection(RejectionReason.ENVELOPE_NOT_JSON, "no"))),
            id="unreadable",
        ),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_what_nothing_newer_has_overtaken_has_its_outcome(other, restarted):
    worker = Worker(Topic())
    worker.commit(parked(5))
    worker.commit(other())
    if restarted:
        worker = Worker(worker.topic)
    (outcome,) = worker.commit(judged(come_back(worker), upload(5)[1]))
    assert isinstance(outcome, Verdict)
    assert worker.waiting() == 0


def test_a_review_does_not_overtake_the_upload_that_it_is_of():
    worker = Worker(Topic())
    worker.commit(parked(5))
    review = ImageReviewed.model_construct(image_id="i", reviewed_at=NOON + timedelta(hours=1))
    worker.commit((record(b"", offset=9), Verdict(review, "0" * 64, "block", [], {}, [], None, NOON)))
    (outcome,) = worker.commit(judged(come_back(worker), upload(5)[1]))
    assert isinstance(outcome, Verdict)


def test_a_batch_that_is_not_delivered_is_applied_again_with_the_same_result():
    worker = Worker(Topic())
    worker.commit(parked(5))
    event = come_back(worker)
    for _ in range(3):
        ((_, outcome),) = worker.retries.applied([(event, judged(event, upload(5)[1])[1])])
        assert isinstance(outcome, Verdict)
    assert worker.waiting() == 1
    worker.commit(judged(event, upload(5)[1]))
    assert worker.waiting() == 0


def test_marks_are_no_events_and_are_written_once():
    worker = Worker(Topic())
    worker.commit(parked(5))
    worker.commit(deleted(9, hours=1))
    worker.commit(deleted(9, hours=1))
    assert [read_note(one).parking is None for one in worker.topic.records] == [False, True]
    worker.now += 700
    assert [event is None for event in due(worker)] == [False, True]


def test_without_parking_nothing_is_read():
    worker = Worker(Topic(), retry_for=0.0)
    assert worker.retries.due() == []
    assert worker.commit(deleted(1)) == [deleted(1)[1]]


def test_a_partition_that_is_taken_away_leaves_nothing():
    worker = Worker(Topic())
    worker.commit(parked(5))
    assert worker.retries.forget([TopicPartition("uploads", 0)]) == [TopicPartition("retry", 0)]
    assert worker.waiting() == 0
    assert worker.retries.due() == []


def test_offsets_of_the_retry_topic_are_committed_again_before_they_expire(monkeypatch):
    clock = [50.0]
    monkeypatch.setattr("worker.score.retries.time.monotonic", lambda: clock[0])
    worker = Worker(Topic())
    assert worker.retries.kept_offsets([TopicPartition("retry", 0, 7)]) == []
    clock[0] += 4000
    assert [at.offset for at in worker.retries.kept_offsets([])] == [7]
    assert worker.retries.kept_offsets([]) == []


def test_what_the_retry_topic_does_not_take_is_rejected_with_its_reason():
    worker = Worker(Topic())
    at, outcome = parked(5)
    (told,) = worker.retries.applied([(replace(at, value=bytes(9000)), outcome)])
    assert isinstance(told[1], Parked)
    worker.limits.refused("retry", 9000)
    ((_, told),) = worker.retries.applied([(replace(at, value=bytes(9000)), outcome)])
    assert told == Rejected(FAILURE, outcome.event)
    ((_, told),) = worker.retries.applied([parked(6)])
    assert isinstance(told, Parked)


def test_an_attempt_that_is_repeated_says_the_same():
    worker = Worker(Topic())
    first = worker.retries.applied([parked(5)])
    worker.now += 1
    assert worker.retries.applied([parked(5)]) == first
