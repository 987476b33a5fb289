"""Re-embedding a batch: what each record gives, what happens where it cannot be finished."""

import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.events import ImageEmbedded, ImageReference
from schemas.rejection import RejectionReason
from tests.unit.index.indexing import axis, embedded
from worker.errors import BrokerError, Rejection, StoreFailed
from worker.health import Health
from worker.metrics import Metrics
from worker.reembed import role as module
from worker.reembed.role import ASSIGNED, STORES_SERVE, Reembed, ReembedLimits
from worker.reembed.target import Target
from worker.score.outcome import Parked, Rejected, Verdict
from worker.score.pipeline import Completed
from worker.settings import RejectionLimitSettings
from worker.stream.delivery import NotDelivered
from worker.stream.guard import Guard
from worker.stream.limit import RejectionLimit


class Log:
    """A consumer of one partition, whose records come in one batch."""

    def __init__(self):
        self.messages, self.seeks, self.closed = [], [], False

    def add(self, key, value):
        offset = len(self.messages)
        self.messages.append(
            Message("v1", 0, offset, key.encode(), value, None, None, (1, 1_700_000_000_000))
        )

    def consume(self, *_):
        taken, self.messages = self.messages, []
        return taken

    def poll(self, _):
        return None

    def assignment(self):
        return []

    def pause(self, _):
        pass

    resume = pause

    def seek(self, at):
        self.seeks.append((at.partition, at.offset))


class Outbox:
    """Takes what is delivered, after some refusals."""

    def __init__(self):
        self.records, self.offsets, self.refusals = [], [], 0

    def deliver(self, records, offsets, _):
        if self.refusals:
            self.refusals -= 1
            raise NotDelivered("the group has moved on")
        self.records += records
        self.offsets += [at.offset for at in offsets]


class Stages:
    """Stands for the pipeline: gives each image what `outcomes` says, in turn."""

    def __init__(self):
        self.outcomes, self.done, self.silent, self.is_waiting = {}, [], False, None
        self.submitted = []

    def submit(self, moving, read, is_new):
        upload = read()
        self.submitted.append((upload.image_id, upload.image.path, is_new))
        told = self.outcomes.get(upload.image_id, verdict)
        outcome = told.pop(0) if isinstance(told, list) else told
        self.done.append(Completed(moving, outcome(upload)))

    def completed(self, timeout):
        if self.silent:
            time.sleep(0.001)
            return []
        done, self.done = self.done, []
        return done

    def waiting(self):
        return self.is_waiting


def verdict(upload, image_sha256="0" * 64):
    return Verdict(upload, image_sha256, "block", [], {}, [], axis(7), datetime.now(UTC))


def parked(upload):
    return Parked(StoreFailed(RejectionReason.FETCH_TIMEOUT, "slow", "host"), upload)


def rejected(upload):
    return Rejected(Rejection(RejectionReason.FETCH_NOT_FOUND, "gone"), upload)


class Bench:
    def __init__(self, rate=None):
        self.registry = CollectorRegistry()
        metrics, self.health = Metrics(self.registry), Health(60, (ASSIGNED,))
        self.log, self.outbox, self.stages, self.lost = Log(), Outbox(), Stages(), set()
        self.role = Reembed(
            consumer=self.log,
            topic="v1",
            delivery=self.outbox,
            pipeline=self.stages,
            references=self.references,
            target=Target("v2", "new", "bundle-2"),
            limits=ReembedLimits(100, rate),
            guard=Guard(
                role="reembed",
                limit=RejectionLimit(RejectionLimitSettings(ratio=1)),
                give_up_after=0.0,
                condition=ASSIGNED,
                advice="",
                metrics=metrics,
                health=self.health,
            ),
            metrics=metrics,
            health=self.health,
        )

    def references(self, places):
        return {at: ImageReference(path="x.jpg") for at in places if at.event_id not in self.lost}

    def vector(self, image_id, **changes):
        place = {"event_id": f"of-{image_id}", "topic": "uploads", "partition": 0, "offset": 1}
        self.log.add(image_id, embedded(image_id, axis(0), input=place, **changes))

    def made(self):
        return {
            out.key.decode(): None if out.value is None else ImageEmbedded.read(out.value)
            for out in self.outbox.records
        }

    def counted(self):
        found = {
            result: self.registry.get_sample_value("mekiki_reembed_images_total", {"result": result})
            for result in module.REEMBED_RESULTS
        }
        return {result: count for result, count in found.items() if count}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(module, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)


def test_each_image_has_its_newest_state_in_the_other_space():
    bench = Bench()
    bench.vector("stays")
    bench.vector("goes")
    bench.vector("new already", space="new")
    bench.log.add("goes", None)
    bench.log.add("unreadable", b"nope")
    bench.log.add("", None)  # no index takes it either
    bench.role._turn()
    made = bench.made()
    assert set(made) == {"stays", "goes", "new already", "unreadable"}
    assert made["goes"] is made["unreadable"] is None
    assert (made["stays"].space, made["stays"].bundle_id) == ("new", "bundle-2")
    assert made["stays"].vector.to_array()[7] == 1
    assert made["new already"].vector.to_array()[0] == 1
    assert {out.topic for out in bench.outbox.records} == {"v2"}
    assert bench.outbox.offsets == [6]
    assert bench.stages.submitted == [("stays", "x.jpg", True)]
    assert bench.counted() == {"embedded": 1, "copied": 1, "deleted": 1, "unreadable": 1}


def test_what_cannot_be_embedded_is_not_searchable_there_and_is_told(caplog):
    bench = Bench()
    for name in ("upload-gone", "file-gone", "another-image", "store-down", "fine"):
        bench.vector(name)
    bench.lost = {"of-upload-gone"}
    bench.stages.outcomes = {
        "file-gone": rejected,
        "another-image": lambda upload: verdict(upload, "1" * 64),
        "store-down": parked,
    }
    bench.role._turn()
    assert [name for name, event in bench.made().items() if event is not None] == ["fine"]
    assert bench.counted() == {
        "upload_gone": 1, "rejected": 1, "changed": 1, "store_failed": 1, "embedded": 1,
    }  # fmt: skip
    assert {"upload-gone", "file-gone", "another-image", "store-down"} <= set(caplog.text.split("'"))
    assert [new for name, _, new in bench.stages.submitted if name == "store-down"] == [True, False, False]


def test_a_store_that_comes_back_costs_nothing():
    bench = Bench()
    bench.vector("a")
    bench.stages.outcomes = {"a": [parked, parked, verdict]}
    bench.role._turn()
    assert bench.made()["a"].space == "new"
    assert bench.counted() == {"embedded": 1}


def test_what_was_not_delivered_is_read_again(monkeypatch):
    bench = Bench()
    bench.role._guard._give_up_after = 60.0
    bench.vector("a")
    bench.outbox.refusals = 1
    bench.role._turn()
    assert bench.outbox.records == []
    assert bench.log.seeks == [(0, 0)]
    assert bench.counted() == {}


def test_it_ends_where_nothing_can_be_delivered_for_long():
    bench = Bench()
    bench.outbox.refusals = 2
    for _ in range(2):
        bench.vector("a")
        if bench.outbox.refusals == 1:
            with pytest.raises(BrokerError, match="nothing could be delivered"):
                bench.role._turn()
        else:
            bench.role._turn()


@pytest.mark.parametrize("end", ["stop", "rebalance"])
def test_a_batch_that_is_over_before_it_is_finished_leaves_nothing(end):
    bench = Bench()
    bench.vector("a")
    bench.stages.silent = True
    stay = bench.role._stay

    def meanwhile():
        stay()
        bench.role.stop() if end == "stop" else bench.role._revoked(None, [])

    bench.role._stay = meanwhile
    bench.role._turn()
    assert bench.outbox.records == []
    assert bench.log.seeks == [(0, 0)]


def test_it_is_not_ready_while_most_images_wait_for_their_store():
    bench = Bench()
    bench.role._assigned(None, [])
    assert bench.health.ready()[0]
    bench.stages.is_waiting = "store.example is down"
    bench.role._stay()
    assert bench.health.ready() == (False, {STORES_SERVE: "store.example is down"})
    bench.stages.is_waiting, bench.role._next_stay = None, 0.0
    bench.role._stay()
    assert bench.health.ready()[0]


def test_no_more_images_a_second_than_it_may():
    bench = Bench(rate=50.0)
    for number in range(5):
        bench.vector(f"i{number}")
    began = time.monotonic()
    bench.role._turn()
    assert time.monotonic() - began >= 0.1
    assert bench.counted() == {"embedded": 5}


def test_the_end_of_a_partition_is_committed_also_beyond_markers_of_transactions():
    bench = Bench()
    bench.vector("a")
    end = Message("v1", 0, 5, error=KafkaError(KafkaError._PARTITION_EOF))
    bench.log.messages.append(end)
    bench.role._turn()
    assert bench.outbox.offsets == [5]
    bench.role._turn()
    assert bench.outbox.offsets == [5], "once"
    bench.log.messages.append(end)
    bench.role._turn()
    assert bench.outbox.offsets == [5, 5]
    bench.log.messages.append(end)
    bench.outbox.refusals = 1
    bench.role._turn()
    bench.role._revoked(None, [TopicPartition("v1", 0)])
    bench.role._turn()
    assert bench.outbox.offsets == [5, 5], "it is another's"


def test_a_topic_that_is_not_there_ends_it():
    bench = Bench()
    bench.log.messages = [Message("v1", 0, 0, error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))]
    with pytest.raises(BrokerError, match="v1 cannot be read"):
        bench.role._turn()
