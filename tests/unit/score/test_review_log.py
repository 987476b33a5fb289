"""Partitions that were added a moment ago: the client and some brokers do not know them yet."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from worker.errors import BrokerError
from worker.score.review_log import ReviewLog

RECORDS = 3


class Log:
    """Partitions of three records each; partition 1 is not known for some questions and assignments."""

    def __init__(self, unknown_ends=0, unknown_assignments=0, code=KafkaError._UNKNOWN_PARTITION):
        self.unknown_ends, self.unknown_assignments, self.code = unknown_ends, unknown_assignments, code
        self.queue: list[Message] = []
        self.assigned: list[list[tuple[int, int]]] = []

    def committed(self, partitions, timeout):
        return partitions

    def list_topics(self, name, timeout):
        self.unknown_ends -= 1

    def get_watermark_offsets(self, at, timeout):
        if at.partition == 1 and self.unknown_ends > 0:
            raise KafkaException(KafkaError(self.code))
        return 0, RECORDS

    def assign(self, partitions):
        self.assigned.append([(at.partition, at.offset) for at in partitions])
        self.queue = []
        for number, offset in self.assigned[-1]:
            if number == 1 and self.unknown_assignments:
                self.unknown_assignments -= 1
                self.queue.append(Message("reviews", 1, 0, None, None, None, KafkaError(self.code)))
                continue
            for at in range(max(offset, 0), RECORDS):
                self.queue.append(Message("reviews", number, at, b"k", b"v", None, None, (1, 1)))

    def consume(self, count, timeout):
        given, self.queue = self.queue[:2], self.queue[2:]
        return given

    def unassign(self):
        self.queue = []

    def close(self):
        pass


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("worker.score.review_log._ASSIGN_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("worker.score.review_log._POLL_SECONDS", 0.001)


def read(log, timeout=5.0):
    reader = ReviewLog(cast(Any, log), "reviews", timeout)
    ours = [TopicPartition("uploads", 0), TopicPartition("uploads", 1)]
    return sorted((record.partition, record.offset) for record in reader.read(cast(Any, log), ours))


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART])
@pytest.mark.parametrize(("ends", "assignments"), [(0, 1), (1, 0), (3, 2)])
def test_new_partitions_are_waited_for_and_read_once(ends, assignments, code):
    log = Log(ends, assignments, code)
    assert read(log) == [(number, offset) for number in range(2) for offset in range(RECORDS)]
    assert len(log.assigned) == 1 + assignments


def test_a_topic_that_lacks_a_partition_is_told(monkeypatch):
    monkeypatch.setattr("worker.score.review_log._ADDED_SECONDS", 0.0)
    with pytest.raises(BrokerError, match="as many partitions as the uploaded"):
        read(Log(unknown_ends=1000))


def test_what_stays_unknown_ends_the_role():
    with pytest.raises(BrokerError, match="nothing came"):
        read(Log(unknown_assignments=1_000_000), timeout=0.05)
