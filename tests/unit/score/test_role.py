"""What is inside the pipeline is bounded, whoever owns the partitions by now."""

from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from schemas.rejection import RejectionReason
from tests.unit.records import NoReviews, no_retries
from worker.errors import Rejection
from worker.health import Health
from worker.metrics import Metrics
from worker.score.outcome import Rejected
from worker.score.pipeline import Completed
from worker.score.reviews import Reviews
from worker.score.role import MOVING, ScoreRole
from worker.settings import RejectionLimitSettings, ScoreSettings
from worker.stream.guard import Guard
from worker.stream.limit import RejectionLimit
from worker.stream.movement import Movement
from worker.stream.topic_identity import Answer
from worker.stream.unreadable import Unreadable

NOTHING = cast(Any, None)
OURS = [TopicPartition("uploads", 0)]


class SameTopic:
    """A topic that is never made again."""

    id = None

    def look(self):
        return Answer.SAME

    def look_now(self, _):
        return Answer.SAME


@dataclass
class Record:
    """A message as the consumer gives it."""

    number: int

    def error(self):
        return None

    def topic(self):
        return "uploads"

    def partition(self):
        return 0

    def offset(self):
        return self.number

    def key(self):
        return None

    def value(self):
        return b"{}"

    def headers(self):
        return None

    def timestamp(self):
        return 1, 0


class Log:
    """A consumer of one partition that gives a record a poll, and says whether it is paused."""

    def __init__(self):
        self.paused = False
        self.given = 0

    def consume(self, *_):
        if self.paused:
            return []
        self.given += 1
        return [Record(self.given)]

    def assignment(self):
        return OURS

    def committed(self, partitions, timeout):
        return partitions  # no offset

    def pause(self, _):
        self.paused = True

    def resume(self, _):
        self.paused = False


class SlowPipeline:
    """A pipeline whose events come out when the test says so."""

    def __init__(self):
        self.inside = []
        self.out = []

    def submit(self, ticket, _, *, hold, is_new):
        assert not hold
        self.inside.append(ticket)

    def finish(self):
        outcome = Rejected(Rejection(RejectionReason.SOURCE_EMPTY, "empty"))
        self.out = [Completed(ticket, outcome) for ticket in self.inside]
        self.inside = []

    def hosts_down(self):
        return 0

    def completed(self, _):
        out, self.out = self.out, []
        return out


class Taken:
    """A delivery that takes everything."""

    def deliver(self, *_):
        pass


def role_over(log: Log, pipeline: SlowPipeline, health: Health) -> ScoreRole:
    metrics = Metrics(CollectorRegistry())
    guard = Guard(
        role="score",
        limit=RejectionLimit(RejectionLimitSettings()),
        give_up_after=1.0,
        condition="within the limit",
        advice="restart",
        metrics=metrics,
        health=health,
    )
    return ScoreRole(
        name="score",
        consumer=cast(Any, log),
        topic="uploads",
        pipeline=cast(Any, pipeline),
        parse=lambda _: NOTHING,
        publish=NOTHING,
        delivery=cast(Any, Taken()),
        guard=guard,
        reviews=Reviews(NoReviews()),
        movement=Movement(health, MOVING, 60.0),
        unreadable=Unreadable("score", metrics, health),
        retries=no_retries(metrics),
        identity=cast(Any, SameTopic()),
        settings=ScoreSettings(max_in_flight=4),
        metrics=metrics,
        health=health,
    )


def test_a_worker_moves_only_once_the_group_has_given_it_something_or_nothing():
    log, health = Log(), Health(60, (MOVING,))
    log.consume = lambda *_: []
    role = role_over(log, SlowPipeline(), health)
    log.position = log.assignment = lambda *_: []
    role._observe()
    assert MOVING in health.ready()[1]
    role._on_assign(cast(Any, log), [])  # there are more workers than partitions
    role._next_look = 0.0
    role._observe()
    assert health.ready() == (True, {})


def test_events_of_revoked_partitions_take_their_room_until_they_come_out():
    log, pipeline = Log(), SlowPipeline()
    role = role_over(log, pipeline, Health(60, ()))

    def turns(count):
        for _ in range(count):
            role._poll()
            role._admit()
            role._collect(0.0)

    role._on_assign(cast(Any, log), OURS)
    for _ in range(3):  # the partition comes and goes while nothing comes out
        turns(10)
        assert len(pipeline.inside) == 4
        role._on_lost(cast(Any, log), OURS)
        role._on_assign(cast(Any, log), OURS)
    pipeline.finish()
    turns(10)
    assert len(pipeline.inside) == 4
    assert log.given == 8
