"""Batches of the log that nobody can read: their partition stands still before them, and says so.

A batch that was damaged on a broker's disk cannot be unpacked (`Local: Invalid compressed data`). librdkafka
asks for it again and again, and with `check.crcs` gives the records before it each time. What stands in it
and behind it has no outcome until the batch is whole again, or a person moves the group behind it.
"""

import logging
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, TopicPartition

from worker.health import Health
from worker.metrics import Metrics
from worker.stream.kafka import InputRecord

logger = logging.getLogger(__name__)

READABLE = "every batch can be read"

# Damaged compression, a checksum that does not hold, and a format or codec that the client does not know.
_CODES = {KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED}


class Unreadable:
    """Where the partitions of one loop stand still; used by its thread. `name` labels its metric."""

    def __init__(self, name: str, metrics: Metrics, health: Health) -> None:
        self._health = health
        self._gauge = metrics.poll_unreadable.labels(name)
        self._at: dict[tuple[str, int], int] = {}

    def is_one(self, message: Message) -> bool:
        """Whether the error that the consumer gave is of such a batch; then it is told."""
        error = message.error()
        if error is None or error.code() not in _CODES:
            return False
        place = (message.topic() or "", message.partition() or 0)
        if place not in self._at:
            self._at[place] = message.offset() or 0
            where = f"{place[0]}/{place[1]}/{self._at[place]}"
            why = f"the batch at {where} cannot be read, nothing behind it has its turn: {error.str()}"
            logger.error("%s. docs/runbook.md says under MekikiBatchUnreadable what to do", why)
            self._health.withdraw(READABLE, why)
            self._gauge.set(len(self._at))
        return True

    def lets_in(self, record: InputRecord) -> bool:
        """Whether `record` is to be taken; what lies before such a batch was read already."""
        if not self._at:
            return True
        place = (record.topic, record.partition)
        if record.offset < self._at.get(place, 0):
            return False
        if place in self._at:
            logger.warning("%s/%d is read on from %d", *place, record.offset)
            self._leave([place])
        return True

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are assigned anew, or not ours any more, or of another log."""
        self._leave([(at.topic, at.partition) for at in partitions])

    def _leave(self, places: Iterable[tuple[str, int]]) -> None:
        if not self._at:
            return
        for place in places:
            self._at.pop(place, None)
        self._gauge.set(len(self._at))
        if not self._at:
            self._health.satisfy(READABLE)
