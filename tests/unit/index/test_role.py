"""The index role's loop: what it applies, acknowledges and builds, and in which order.

On a log in memory; tests/integration has it on real brokers.
"""

from contextlib import closing
from typing import cast

import pytest
from confluent_kafka import KafkaError, Message
from prometheus_client import CollectorRegistry

from schemas.events import IndexUpdated
from tests.unit.index.indexing import DIM, IDENTITY, SPACE, axis, embedded, open_index
from tests.unit.score.test_role import SameTopic
from worker.errors import BrokerError
from worker.health import Health
from worker.index.acknowledge import Updates
from worker.index.role import CAUGHT_UP, MOVING, WITHIN_LIMIT, IndexRole, halt_advice
from worker.metrics import Metrics
from worker.settings import RejectionLimitSettings, TopicSettings
from worker.stream.delivery import NotDelivered
from worker.stream.guard import Guard
from worker.stream.limit import RejectionLimit
from worker.stream.movement import Movement
from worker.stream.topic_identity import TopicIdentity
from worker.stream.unreadable import READABLE

TOPICS = TopicSettings()


class Log:
    """One partition, given in batches that the test adds; each ends at the end of the log."""

    def __init__(self):
        self.batches = []
        self.end = 0

    def add(self, *records, error=None):
        batch = []
        for key, value in records:
            batch.append(
                Message(IDENTITY.topic, 0, self.end, key.encode(), value, None, None, (1, 1_700_000_000_000))
            )
            self.end += 1
        code = KafkaError._PARTITION_EOF if error is None else error
        batch.append(Message(IDENTITY.topic, 0, self.end, None, None, None, KafkaError(code)))
        self.batches.append(batch)

    def poll(self, _):
        return self.batches[0].pop(0) if self.batches else None

    def consume(self, *_, **__):
        return self.batches.pop(0)

    def get_watermark_offsets(self, *_, **__):
        return 0, self.end


class Outbox:
    """Takes what is delivered, unless `refuses` says otherwise; notes what was searchable by then."""

    def __init__(self, index):
        self.index = index
        self.delivered = []
        self.offsets = []
        self.searchable = []
        self.refusals = 0

    def deliver(self, records, offsets, _):
        if self.refusals:
            self.refusals -= 1
            raise NotDelivered("the group has moved on")
        self.searchable.append(self.index.size().vectors)
        self.delivered += records
        self.offsets += [at.offset for at in offsets]


class Watched:
    """A backend that counts its turns; the rest is the real one's."""

    def __init__(self, backend):
        self._backend = backend
        self.turns = 0

    def turn(self):
        self.turns += 1
        self._backend.turn()

    def __getattr__(self, name):
        return getattr(self._backend, name)


class Bench:
    """A role that has found a log without records, of which everything is to be acknowledged."""

    def __init__(self, path, **changes):
        self.registry = CollectorRegistry()
        metrics, self.health = Metrics(self.registry), Health(60, (CAUGHT_UP,))
        self.index = Watched(open_index(path))
        self.log, self.outbox = Log(), Outbox(self.index)
        self.role = IndexRole(
            name="index",
            topic=IDENTITY.topic,
            consumer=self.log,
            delivery=self.outbox,
            backend=self.index,
            updates=Updates(self.index, TOPICS, 0.01, 5, metrics),
            guard=Guard(
                role="index",
                limit=RejectionLimit(RejectionLimitSettings(ratio=0.5, window=10, minimum=4)),
                give_up_after=60.0,
                condition=WITHIN_LIMIT,
                advice=halt_advice(SPACE),
                metrics=metrics,
                health=self.health,
            ),
            identity=cast(TopicIdentity, SameTopic()),
            movement=Movement(self.health, MOVING, 0.0),
            metrics=metrics,
            health=self.health,
            request_timeout=1.0,
            **changes,
        )
        self.role._positions, self.role._acknowledge_from, self.role._behind = {0: 0}, {0: 0}, {0}

    def turn(self, *records, error=None):
        self.log.add(*records, error=error)
        self.role._turn()

    def acknowledged(self):
        events = [
            IndexUpdated.model_validate_json(out.value)
            for out in self.outbox.delivered
            if out.topic == TOPICS.index_updated
        ]
        return [(event.image_id, event.state) for event in events]

    def sample(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    with closing(made.index):
        yield made


def vector(image_id, number, **changes):
    return image_id, embedded(image_id, axis(number), **changes)


def test_each_record_is_searchable_when_its_one_outcome_is_published(bench):
    bench.turn(vector("a", 0), vector("b", 1), ("c", b"nope"))
    bench.turn(("a", None))
    assert bench.acknowledged() == [("a", "searchable"), ("b", "searchable"), ("a", "deleted")]
    assert len(bench.outbox.delivered) == 4
    assert bench.outbox.searchable == [2, 1]
    assert bench.outbox.offsets == [3, 4]
    assert bench.index.offsets() == {0: 4}
    assert bench.sample("mekiki_commit_outcomes_total", role="index") == 4
    assert bench.sample("mekiki_poll_events_total", role="index") == 4
    assert bench.sample("mekiki_index_vectors") == 1


def test_what_was_acknowledged_in_an_earlier_run_is_applied_in_silence(bench):
    bench.role._acknowledge_from = {0: 2}
    bench.turn(vector("a", 0), ("b", b"nope"), vector("c", 2))
    assert bench.acknowledged() == [("c", "searchable")]
    assert len(bench.outbox.delivered) == 1
    assert bench.index.size().vectors == 2


def test_one_that_is_silent_holds_all_publishes_nothing_and_commits_what_it_read(tmp_path):
    bench = Bench(tmp_path, is_silent=True)
    with closing(bench.index):
        bench.turn(vector("a", 0), ("b", b"nope"), vector("c", 2))
        bench.turn(("a", None))
        assert bench.outbox.delivered == []
        assert bench.outbox.offsets == [3, 4]
        assert bench.index.size().vectors == 1
        assert bench.index.turns == 2
        assert bench.role.is_caught_up()


def test_nothing_is_built_by_a_silent_one_before_it_is_committed(tmp_path):
    bench = Bench(tmp_path, is_silent=True)
    with closing(bench.index):
        bench.outbox.refusals = 1
        bench.role.stop()
        bench.turn(vector("a", 0))
        assert bench.index.turns == 0


def test_it_is_ready_once_the_log_is_read_to_its_end(bench):
    assert not bench.role.is_caught_up()
    bench.turn(vector("a", 0))
    assert bench.role.is_caught_up()
    assert bench.health.ready() == (True, {})


def test_nothing_is_built_while_a_record_is_unacknowledged(bench):
    bench.outbox.refusals = 1
    bench.role.stop()  # during the pause before the next attempt
    bench.turn(vector("a", 0))
    assert bench.outbox.delivered == []
    assert bench.index.turns == 0
    assert bench.sample("mekiki_commit_attempts_total", role="index", result="failure") == 1


def test_an_attempt_that_failed_is_made_again(bench, monkeypatch):
    monkeypatch.setattr("worker.index.role._RETRY_SECONDS", 0.0)
    bench.outbox.refusals = 2
    bench.turn(vector("a", 0))
    assert bench.acknowledged() == [("a", "searchable")]
    assert bench.index.turns == 1
    assert bench.sample("mekiki_commit_attempts_total", role="index", result="failure") == 2


def test_too_many_rejections_halt_it_with_nothing_published_or_built(bench):
    bench.turn(*((f"i{number}", b"nope") for number in range(5)))
    assert bench.outbox.delivered == []
    assert bench.index.turns == 0
    ready, missing = bench.health.ready()
    assert not ready
    assert "100%" in missing[WITHIN_LIMIT]
    assert f"the index of space '{SPACE}' halts" in missing[WITHIN_LIMIT]


def test_vectors_of_another_index_are_passed_over_and_halt_nothing(bench):
    bench.turn(*(vector(f"i{number}", number, space="other") for number in range(5)), vector("mine", 1))
    assert bench.acknowledged() == [("mine", "searchable")]
    assert WITHIN_LIMIT not in bench.health.ready()[1]


@pytest.mark.parametrize(
    "code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._UNKNOWN_PARTITION]
)
def test_a_gap_in_the_log_ends_it(bench, code):
    with pytest.raises(BrokerError, match=f"{IDENTITY.topic}/0 cannot be read any more"):
        bench.turn(error=code)


def test_a_broker_that_is_away_for_a_while_does_not(bench):
    bench.turn(vector("a", 0), error=KafkaError._TRANSPORT)
    assert bench.acknowledged() == [("a", "searchable")]


def test_a_generation_is_told_by_its_age(bench):
    bench.turn(vector("a", DIM - 1))
    assert bench.sample("mekiki_index_generation_timestamp_seconds") == 0
    bench.turn()
    assert bench.sample("mekiki_index_generation_timestamp_seconds") > 1_700_000_000
    assert bench.sample("mekiki_index_tail_records") == 0


def test_records_that_wait_and_are_not_acknowledged_are_told(bench):
    bench.turn(vector("a", 0))
    bench.log.end += 5  # nobody gives them
    bench.role._next_look = 0.0
    bench.role._observe()
    bench.role._next_look = 0.0
    bench.role._observe()
    ready, missing = bench.health.ready()
    assert not ready
    assert missing[MOVING].startswith("5 records wait")
    bench.log.end -= 5
    bench.turn(vector("b", 1))
    assert bench.health.ready()[0]


@pytest.mark.parametrize("code", [KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG])
def test_a_batch_that_cannot_be_read_is_told_and_what_lies_before_it_is_not_taken_twice(bench, code):
    bench.turn(vector("a", 0), error=code)
    assert "cannot be read" in bench.health.ready()[1][READABLE]
    bench.log.end = 0
    bench.turn(vector("a", 0))
    assert bench.acknowledged() == [("a", "searchable")]
    bench.turn(vector("b", 1))
    assert bench.acknowledged() == [("a", "searchable"), ("b", "searchable")]
    assert bench.health.ready()[0]
