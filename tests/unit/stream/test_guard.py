"""What ends a loop, what halts it, and what it goes on after."""

import logging

import pytest
from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry

from worker.errors import BrokerError, RejectionLimitExceeded
from worker.health import Health
from worker.metrics import Metrics
from worker.settings import RejectionLimitSettings
from worker.stream import guard as module
from worker.stream.delivery import NotDelivered
from worker.stream.guard import PERMANENT, Guard, raise_if_permanent
from worker.stream.limit import RejectionLimit

CONDITION = "within the limit"
GIVE_UP_AFTER = 30.0


class Bench:
    """A guard of the role "score" with a clock in the test's hand; four rejections of four halt it."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.registry = CollectorRegistry()
        self.health = Health(60, ())
        self.guard = Guard(
            role="score",
            limit=RejectionLimit(RejectionLimitSettings(ratio=0.5, window=10, minimum=4)),
            give_up_after=GIVE_UP_AFTER,
            condition=CONDITION,
            advice="mend the cause",
            metrics=Metrics(self.registry),
            health=self.health,
        )

    def fails(self, seconds_later):
        self.now += seconds_later
        self.guard.not_delivered(NotDelivered("the group has moved on"))

    def sample(self, name, **labels):
        return self.registry.get_sample_value(name, {"role": "score", **labels})


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


@pytest.mark.parametrize("code", sorted(PERMANENT))
def test_a_permanent_error_ends_the_role_with_what_to_do(code):
    with pytest.raises(BrokerError, match=r"uploads/3 cannot be read.*mekiki check"):
        raise_if_permanent(KafkaError(code), PERMANENT, "uploads/3 cannot be read")


def test_a_fatal_error_ends_the_role_whatever_its_code():
    with pytest.raises(BrokerError):
        raise_if_permanent(KafkaError(KafkaError._FENCED, "fenced", fatal=True), frozenset(), "consuming")


def test_an_error_that_librdkafka_mends_is_logged_alone(caplog):
    with caplog.at_level(logging.WARNING):
        raise_if_permanent(KafkaError(KafkaError._TRANSPORT), PERMANENT, "consuming")
    assert len(caplog.records) == 1


def test_a_broken_limit_halts_and_says_so_everywhere(bench):
    assert bench.guard.halts([True, True, True, True])
    assert bench.guard.halted
    assert bench.registry.get_sample_value("mekiki_commit_halted_ratio") == 1
    ready, missing = bench.health.ready()
    assert not ready
    assert "100%" in missing[CONDITION]
    assert missing[CONDITION].endswith("mend the cause")
    with pytest.raises(RejectionLimitExceeded, match="100%"):
        bench.guard.raise_if_halted()


def test_within_the_limit_nothing_halts(bench):
    assert not bench.guard.halts([True, True, False, False])
    assert not bench.guard.halted
    assert bench.health.ready() == (True, {})
    bench.guard.raise_if_halted()


def test_delivered_rejections_count_towards_the_limit_and_asking_does_not(bench):
    for _ in range(5):
        assert not bench.guard.halts([True, True])
    bench.guard.delivered([True, True])
    assert bench.guard.halts([True, True])


def test_what_is_delivered_is_counted_by_role(bench):
    bench.guard.delivered([False, True, False])
    bench.guard.delivered([False])
    assert bench.sample("mekiki_commit_outcomes_total") == 4
    assert bench.sample("mekiki_commit_attempts_total", result="success") == 2
    assert bench.sample("mekiki_commit_last_timestamp_seconds") > 0


def test_it_gives_up_after_so_long_without_a_delivery(bench):
    bench.fails(0)
    bench.fails(GIVE_UP_AFTER)
    with pytest.raises(BrokerError, match=r"30 s: the group has moved on"):
        bench.fails(1)
    assert bench.sample("mekiki_commit_attempts_total", result="failure") == 3


def test_a_delivery_in_between_starts_the_wait_anew(bench):
    bench.fails(0)
    bench.now += GIVE_UP_AFTER
    bench.guard.delivered([False])
    bench.fails(1)
    bench.fails(GIVE_UP_AFTER)


def test_a_halted_loop_probes_at_growing_intervals_and_goes_on_when_the_cause_has_passed(bench):
    assert bench.guard.halts([True] * 4)
    assert bench.guard.halts([False] * 4), "halted, it commits nothing of anything"
    for pause in (60, 120, 240, 480, 600, 600):
        bench.now += pause - 1
        assert not bench.guard.is_probe_due
        bench.now += 1
        assert bench.guard.is_probe_due
        assert not bench.guard.probed([True, True, False])
    bench.now += 600
    assert bench.guard.probed([True, False])
    assert not bench.guard.halted
    assert bench.health.ready()[0]
    assert bench.registry.get_sample_value("mekiki_commit_halted_ratio") == 0
    bench.guard.raise_if_halted()
    assert not bench.guard.halts([True, True, True, False, False, False]), "counted anew"
    assert bench.guard.halts([True] * 4)
    bench.now += 60
    assert bench.guard.is_probe_due, "the pauses begin anew as well"


def test_nothing_in_flight_keeps_to_the_limit(bench):
    assert bench.guard.halts([True] * 4)
    assert bench.guard.probed([])
