"""Reads the compacted topic of reviews before uploads of the same partitions are taken."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.stream.kafka import InputRecord, input_record

_BATCH_RECORDS = 1000
_POLL_SECONDS = 0.2


class ReviewLog:
    """`topic` has a partition for each of the uploads. `beat` is called all the while: we are alive.

    After `timeout` seconds without progress it gives up: a dead worker's open transactions must end in less.
    """

    def __init__(
        self, consumer: Consumer, topic: str, timeout: float, beat: Callable[[], object] = lambda: None
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._timeout = timeout
        self._beat = beat

    def read(
        self,
        consumer: Consumer,
        partitions: Sequence[TopicPartition],
        starts: Mapping[int, int] | None = None,
    ) -> Iterator[InputRecord]:
        """Every committed record of the partitions of these numbers, or those from `starts` on. Blocks.

        `consumer` is that of the uploads. Its committed offsets are asked for first: the broker gives them
        once no transaction of an earlier owner is open on them; whatever such a one wrote is then in the log.

        Raises:
            BrokerError: the topic cannot be read, or lacks a partition.

        """
        if not partitions:
            return
        numbers = [at.partition for at in partitions]
        try:
            consumer.committed(list(partitions), timeout=self._timeout)
            ends = {number: self._end(number) for number in numbers}
        except KafkaException as error:
            raise BrokerError(
                f"{self._topic} cannot be read: {error.args[0]}. It needs as many partitions as the uploaded "
                "topic; `mekiki topics create` makes it"
            ) from error
        begins = starts or {}
        left = {number: end for number, end in ends.items() if end > begins.get(number, 0)}
        yield from self._read(left, begins)

    def close(self) -> None:
        """Leave the topic."""
        self._consumer.close()

    def _end(self, number: int) -> int:
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, number), timeout=self._timeout
        )
        return 0 if low == high else high

    def _read(self, ends: dict[int, int], starts: Mapping[int, int]) -> Iterator[InputRecord]:
        self._consumer.assign(
            [TopicPartition(self._topic, number, starts.get(number) or OFFSET_BEGINNING) for number in ends]
        )
        deadline = time.monotonic() + self._timeout
        while ends:
            self._beat()
            messages = self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS)
            if time.monotonic() > deadline:
                raise BrokerError(f"{self._topic} cannot be read: nothing came for {self._timeout:g} s")
            for message in messages:
                error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is None:
                    deadline = time.monotonic() + self._timeout
                    yield input_record(message)
                    reached = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    reached = offset
                elif error.fatal() or not error.retriable():
                    raise BrokerError(f"{self._topic} cannot be read: {error}")
                else:
                    continue
                if reached >= ends.get(number, reached + 1):
                    del ends[number]
        self._consumer.unassign()
