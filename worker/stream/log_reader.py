"""Reads topics as they are now: from a time on to their end, or one record by its place."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from worker.errors import BrokerError
from worker.stream.kafka import InputRecord, input_record

_BATCH_RECORDS = 5000
_POLL_SECONDS = 0.2
_Answer = TypeVar("_Answer")


# The topic was deleted, or made again with fewer partitions.
_GONE = (KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)


class LogReader:
    """Used by one thread. `consumer` is its own, gives EOF (`enable.partition.eof`), and commits nothing.

    `timeout` is in seconds without an answer of the broker.
    """

    def __init__(self, consumer: Consumer, timeout: float) -> None:
        self._consumer = consumer
        self._timeout = timeout

    def read(self, topics: Sequence[str], since_ms: int | None = None) -> Iterator[list[Message]]:
        """The records of `topics` whose time is `since_ms` or later, up to their end of now, some at a time.

        Raises:
            BrokerError: a topic is missing, or the broker does not answer.

        """
        starts, ends = self._bounds(topics, since_ms)
        self._consumer.assign(starts)
        deadline = time.monotonic() + self._timeout
        while ends:
            messages, records = self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS), []
            if messages:
                deadline = time.monotonic() + self._timeout
            elif time.monotonic() > deadline:
                raise BrokerError(f"nothing came from {', '.join(topics)} for {self._timeout:g} s")
            for message in messages:
                if _is_record(message) and _offset(message) < ends.get(_place(message), 0):
                    records.append(message)
                if _reached(message) >= ends.get(_place(message), math.inf):
                    ends.pop(_place(message), None)
            if records:
                yield records
        self._consumer.unassign()

    def record_at(self, topic: str, partition: int, offset: int) -> InputRecord | None:
        """The record at this place; None where the log does not hold it any more.

        Raises:
            BrokerError: the broker does not answer.

        """
        at = TopicPartition(topic, partition, offset)
        try:
            low, high = self._consumer.get_watermark_offsets(at, timeout=self._timeout)
        except KafkaException as failure:
            if failure.args[0].code() in _GONE:
                return None
            raise BrokerError(f"the broker does not answer: {failure.args[0]}") from failure
        if not low <= offset < high:
            return None
        self._consumer.assign([at])
        deadline = time.monotonic() + self._timeout
        try:
            while time.monotonic() < deadline:
                message = self._consumer.poll(_POLL_SECONDS)
                if message is None:
                    continue
                if (error := message.error()) is None:
                    return input_record(message) if message.offset() == offset else None
                if error.code() == KafkaError._PARTITION_EOF:
                    return None
        finally:
            self._consumer.unassign()
        raise BrokerError(f"{topic}/{partition}/{offset} cannot be read: nothing came")

    def _bounds(
        self, topics: Sequence[str], since_ms: int | None
    ) -> tuple[list[TopicPartition], dict[tuple[str, int], int]]:
        starts: list[TopicPartition] = []
        ends: dict[tuple[str, int], int] = {}
        for topic in topics:
            for at in self._starts(topic, since_ms):
                low, high = self._asked(
                    lambda at=at: self._consumer.get_watermark_offsets(at, timeout=self._timeout)  # type: ignore[misc]
                )
                at.offset = high if at.offset in (OFFSET_END, -1) else max(low, at.offset)
                if at.offset < high:
                    starts.append(at)
                    ends[topic, at.partition] = high
        return starts, ends

    def _starts(self, topic: str, since_ms: int | None) -> list[TopicPartition]:
        found = self._asked(lambda: self._consumer.list_topics(topic, timeout=self._timeout)).topics[topic]
        if found.error is not None:
            raise BrokerError(f"there is no topic {topic}: {found.error}")
        if since_ms is None:
            return [TopicPartition(topic, number, 0) for number in found.partitions]
        asked = [TopicPartition(topic, number, since_ms) for number in found.partitions]
        return self._asked(lambda: self._consumer.offsets_for_times(asked, timeout=self._timeout))

    def _asked(self, call: Callable[[], _Answer]) -> _Answer:
        try:
            return call()
        except KafkaException as error:
            raise BrokerError(f"the broker does not answer: {error.args[0]}") from error


def _place(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0


def _offset(message: Message) -> int:
    return message.offset() or 0


def _is_record(message: Message) -> bool:
    return message.error() is None


def _reached(message: Message) -> float:
    """The offset read next; at the end, beyond all: what lies behind is of transactions that are open."""
    if (error := message.error()) is None:
        return _offset(message) + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return math.inf
    if error.fatal() or not error.retriable():
        raise BrokerError(f"{message.topic()} cannot be read: {error}")
    return -1
