"""Filling: whether the next index holds all that the embedded topic held when that was first asked.

`mekiki reembed` brings it there: its group says how far it is. An empty topic is soon read to its end;
searches must not move to an index of that.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

logger = logging.getLogger(__name__)

_ASK_SECONDS = 10.0
_JOIN_SECONDS = 2.0


class Filling:
    """Looks every `interval` seconds, in a thread of its own, until it is done; use as a context manager.

    `consumer` is of the group that fills `topic` from `source`, joins nothing, and is closed at the end.
    `reached` tells the offsets of `topic` up to which the next index has come.
    """

    def __init__(
        self,
        consumer: Consumer,
        source: str,
        topic: str,
        reached: Callable[[], Mapping[int, int]],
        interval: float = 1.0,
    ) -> None:
        self._consumer = consumer
        self._source, self._topic = source, topic
        self._reached = reached
        self._interval = interval
        self._source_ends: dict[int, int] | None = None
        self._topic_ends: dict[int, int] | None = None
        self._done, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="filling", daemon=True)

    def is_done(self) -> bool:
        """Whether it is there; it stays so."""
        return self._done.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            while not self._ended.is_set() and not self._looked():
                self._ended.wait(self._interval)
        finally:
            self._consumer.close()

    def _looked(self) -> bool:
        try:
            if self.look():
                self._done.set()
        except KafkaException as error:
            logger.warning("how far %s is filled is not known: %s", self._topic, error.args[0])
        return self._done.is_set()

    def look(self) -> bool:
        """Whether it is there now.

        Raises:
            KafkaException: the broker does not tell.

        """
        if self._source_ends is None:
            self._source_ends = self._ends(self._source)
        if self._topic_ends is None:
            filled = self._committed(self._source_ends)
            if any(filled[partition] < end for partition, end in self._source_ends.items()):
                return False
            self._topic_ends = self._ends(self._topic)
            logger.info("%s is filled", self._topic)
        reached = self._reached()
        return all(reached.get(partition, 0) >= end for partition, end in self._topic_ends.items())

    def _ends(self, topic: str) -> dict[int, int]:
        found = self._consumer.list_topics(topic, timeout=_ASK_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return {
            number: self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_ASK_SECONDS)[
                1
            ]
            for number in found.partitions
        }

    def _committed(self, partitions: Mapping[int, int]) -> dict[int, int]:
        asked = [TopicPartition(self._source, number) for number in partitions]
        answers = self._consumer.committed(asked, timeout=_ASK_SECONDS)
        return {at.partition: max(0, at.offset) for at in answers}
