"""Partitions that stand before a batch that cannot be read: told, counted, and let go when it is past."""

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from prometheus_client import CollectorRegistry

from tests.unit.records import record
from worker.health import Health
from worker.metrics import Metrics
from worker.stream.unreadable import READABLE, Unreadable

CODES = [KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED]


class Bench:
    def __init__(self):
        self.metrics, self.health = Metrics(CollectorRegistry()), Health(60, ())
        self.unreadable = Unreadable("score", self.metrics, self.health)

    def error(self, partition, offset, code=KafkaError._BAD_COMPRESSION):
        given = KafkaError(code, "it failed")
        return self.unreadable.is_one(Message("uploads", partition, offset, None, None, None, given))

    def lets_in(self, partition, offset):
        return self.unreadable.lets_in(record(b"{}", partition=partition, offset=offset))

    def count(self):
        labels = {"role": "score"}
        return self.metrics.registry.get_sample_value("mekiki_poll_unreadable_partitions", labels)


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.parametrize("code", CODES)
def test_it_is_not_ready_and_counted_until_the_partition_goes_on(bench, code):
    assert bench.lets_in(0, 4)
    assert bench.error(0, 5, code)
    assert bench.error(0, 5, code)
    ready, why = bench.health.ready()
    assert not ready
    assert "uploads/0/5" in why[READABLE]
    assert "it failed" in why[READABLE]
    assert bench.count() == 1
    assert bench.lets_in(1, 0)
    assert bench.count() == 1, "another partition's records say nothing of this one"
    assert bench.lets_in(0, 5)
    assert bench.count() == 0
    assert bench.health.ready()[0]


def test_what_came_before_it_is_not_taken_twice(bench):
    bench.error(0, 5, KafkaError._BAD_MSG)
    bench.error(0, 4648363527306739711, KafkaError._NOT_IMPLEMENTED)  # what follows a skipped batch
    assert not any(bench.lets_in(0, offset) for offset in range(5))
    assert bench.lets_in(0, 5)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._PARTITION_EOF, KafkaError._TIMED_OUT])
def test_other_errors_are_none(bench, code):
    assert not bench.error(0, 5, code)
    assert bench.health.ready()[0]


def test_a_partition_that_goes_takes_its_batch_along(bench):
    bench.error(0, 5)
    bench.error(1, 7)
    assert bench.count() == 2
    bench.unreadable.forget([TopicPartition("uploads", 0)])
    assert bench.count() == 1
    assert not bench.health.ready()[0]
    bench.unreadable.forget([TopicPartition("uploads", 1)])
    assert bench.health.ready()[0]
    assert bench.lets_in(0, 0)
