"""When the next index is full enough to be searched, by what a broker says."""

import threading
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from worker.index.filling import Filling


class Kafka:
    """Stands for a consumer of the group that fills v2 from v1."""

    def __init__(self, ends, committed):
        self.ends, self.offsets, self.closed = ends, committed, threading.Event()
        self.failures = 0

    def list_topics(self, topic, **_):
        if self.failures:
            self.failures -= 1
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        there = topic in self.ends
        error = None if there else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions=self.ends.get(topic))})

    def get_watermark_offsets(self, at, **_):
        return 0, self.ends[at.topic][at.partition]

    def committed(self, asked, **_):
        return [TopicPartition(at.topic, at.partition, self.offsets.get(at.partition, -1001)) for at in asked]

    def close(self):
        self.closed.set()


def test_it_is_done_when_all_of_the_first_moment_was_moved_and_is_searchable():
    kafka, reached = Kafka({"v1": {0: 10, 1: 0}, "v2": {0: 0, 1: 0}}, {}), {}
    filling = Filling(kafka, "v1", "v2", lambda: reached)
    assert not filling.look(), "nothing was moved: an empty topic is no full one"
    kafka.offsets[0] = 9
    assert not filling.look()
    kafka.ends = {"v1": {0: 99, 1: 99}, "v2": {0: 12, 1: 3}}
    kafka.offsets[0] = 10
    assert not filling.look(), "moved, and not searchable yet"
    kafka.ends["v2"] = {0: 99, 1: 99}
    reached.update({0: 12})
    assert not filling.look()
    reached.update({1: 3})
    assert filling.look(), "whatever came since"


def test_a_log_without_a_record_is_full():
    assert Filling(Kafka({"v1": {0: 0}, "v2": {0: 0}}, {}), "v1", "v2", dict).look()


def test_a_topic_that_is_missing_is_not_full():
    with pytest.raises(KafkaException):
        Filling(Kafka({"v1": {0: 0}}, {}), "v1", "v2", dict).look()


def test_its_thread_looks_until_it_is_done_whatever_fails_meanwhile():
    kafka = Kafka({"v1": {0: 5}, "v2": {0: 5}}, {0: 5})
    kafka.failures = 2
    with Filling(kafka, "v1", "v2", lambda: {0: 5}, interval=0.001) as filling:
        assert kafka.closed.wait(10)
        assert filling.is_done()


def test_its_thread_ends_undone():
    kafka = Kafka({"v1": {0: 5}, "v2": {0: 5}}, {})
    with Filling(kafka, "v1", "v2", dict, interval=0.001) as filling:
        assert not filling.is_done()
    assert kafka.closed.wait(10)
