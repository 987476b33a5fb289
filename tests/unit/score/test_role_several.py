"""A record of several events: one outcome each, one offset, and no more inside than there is room for."""

import json
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from tests.unit.records import NoReviews, no_retries
from tests.unit.score.test_role import Log, Record, SameTopic
from worker.health import Health
from worker.metrics import Metrics
from worker.score.outcome import PassedOver, PassOverReason, Several
from worker.score.pipeline import Completed
from worker.score.reviews import Reviews
from worker.score.role import WITHIN_LIMIT, ScoreRole
from worker.settings import RejectionLimitSettings, ScoreSettings
from worker.stream.delivery import NotDelivered
from worker.stream.guard import Guard
from worker.stream.kafka import OutputRecord
from worker.stream.limit import RejectionLimit
from worker.stream.movement import Movement
from worker.stream.unreadable import Unreadable

OURS = [TopicPartition("uploads", 0)]


class Splitting:
    """A pipeline that reads a record as a JSON list of events, and notes how many were ever inside."""

    def __init__(self):
        self.inside = []
        self.most = 0

    def submit(self, ticket, read, *, hold, is_new):
        assert not hold
        self.inside.append((ticket, read))
        self.most = max(self.most, len(self.inside))

    def completed(self, _):
        # The latest first: outcomes come in any order.
        taken, self.inside = self.inside[-2:], self.inside[:-2]
        return [Completed(ticket, read()) for ticket, read in reversed(taken)]


def parse(record):
    events = json.loads(record.value)
    if isinstance(events, list):
        return Several(tuple(json.dumps(event).encode() for event in events))
    return PassedOver(PassOverReason.TEST)


class Deliveries:
    """What was delivered, a list for each attempt that succeeded."""

    def __init__(self, failures=0):
        self.failures = failures
        self.done = []

    def deliver(self, records, offsets, _):
        if self.failures:
            self.failures -= 1
            raise NotDelivered("broker away")
        if records:  # else it says that a partition is begun
            self.done.append((list(records), [at.offset for at in offsets]))


class Values(Log):
    """A log of the given values."""

    def __init__(self, values):
        super().__init__()
        self.values = list(values)

    def consume(self, *_):
        if self.paused or not self.values:
            return []
        self.given += 1
        return [Valued(self.given, self.values.pop(0))]


class Valued(Record):
    def __init__(self, number, value):
        super().__init__(number)
        self.bytes = value

    def value(self):
        return self.bytes


def role(log, pipeline, deliveries, **settings):
    metrics, health = Metrics(CollectorRegistry()), Health(60, ())
    limit = RejectionLimit(RejectionLimitSettings())
    return ScoreRole(
        name="score",
        consumer=cast(Any, log),
        topic="uploads",
        pipeline=cast(Any, pipeline),
        parse=parse,
        publish=lambda record, _: [
            OutputRecord("out", None, f"{record.offset}/{record.entry}:{record.value.decode()}".encode())
        ],
        delivery=cast(Any, deliveries),
        guard=Guard(
            role="score", limit=limit, give_up_after=60.0, condition=WITHIN_LIMIT, advice="", metrics=metrics,
            health=health,
        ),
        reviews=Reviews(NoReviews()),
        movement=Movement(health, "moving", 60.0),
        unreadable=Unreadable("score", metrics, health),
        retries=no_retries(metrics),
        identity=cast(Any, SameTopic()),
        settings=ScoreSettings(**settings),
        metrics=metrics,
        health=health,
    )  # fmt: skip


def turn(running):
    running._poll()
    running._admit()
    running._collect(0.0)
    running._admit()
    running._commit()


def worked_off(log, deliveries, **settings):
    pipeline = Splitting()
    running = role(log, pipeline, deliveries, **settings)
    running._on_assign(cast(Any, log), OURS)
    for _ in range(200):
        turn(running)
    return pipeline


@pytest.mark.parametrize("failures", [0, 3])
def test_all_events_of_a_record_are_delivered_at_once_in_their_order(failures):
    deliveries = Deliveries(failures)
    worked_off(Values([b"1", b"[2, 3, 4, 5, 6, 7]", b"8"]), deliveries)
    values = [[out.value for out in records] for records, _ in deliveries.done]
    assert [value for one in values for value in one] == [
        b"1/None:1",
        *(f"2/{number}:{number + 2}".encode() for number in range(6)),
        b"3/None:8",
    ]
    (together,) = [one for one in values if any(value.startswith(b"2/") for value in one)]
    assert sum(value.startswith(b"2/") for value in together) == 6
    assert deliveries.done[-1][1] == [4], "the offset after the last record"


def test_no_more_events_are_inside_than_there_is_room_for():
    deliveries = Deliveries()
    values = [json.dumps(list(range(1, 101))).encode()] * 3
    pipeline = worked_off(Values(values), deliveries, max_in_flight=8)
    assert sum(len(records) for records, _ in deliveries.done) == 300
    assert pipeline.most <= 8


def test_every_outcome_counts():
    deliveries, log = Deliveries(), Values([b"[1, 2, 3]"])
    running = role(log, Splitting(), deliveries)
    running._on_assign(cast(Any, log), OURS)
    for _ in range(20):
        turn(running)
    sample = running._metrics.registry.get_sample_value
    assert sample("mekiki_poll_events_total", {"role": "score"}) == 1
    assert sample("mekiki_commit_outcomes_total", {"role": "score"}) == 3
    assert sample("mekiki_decide_passed_over_total", {"reason": "test"}) == 3
    assert sample("mekiki_commit_in_flight_events") == 0
    assert sample("mekiki_decide_removals_total") == 0


def test_a_record_of_several_whose_partition_is_lost_meanwhile_leaves_nothing():
    deliveries, log, pipeline = Deliveries(), Values([b"[1, 2, 3, 4]"]), Splitting()
    running = role(log, pipeline, deliveries)
    running._on_assign(cast(Any, log), OURS)
    running._poll()
    running._admit()
    running._collect(0.0)  # it is several now
    running._on_lost(cast(Any, log), OURS)
    for _ in range(10):
        running._admit()
        running._collect(0.0)
        running._commit()
    assert deliveries.done == []
    assert (running._admission.inside, running._ledger.in_flight) == (0, 0)
