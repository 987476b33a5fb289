"""Reads the compacted topic of reviews before uploads of the same partitions are taken."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.stream.kafka import InputRecord, input_record

_BATCH_RECORDS = 1000
_POLL_SECONDS = 0.2
_ASSIGN_AGAIN_SECONDS = 1.0
_ADDED_SECONDS = 15.0

# What a broker, or the client's picture of the cluster, says of partitions that were added a moment ago.
_NOT_KNOWN_YET = {
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


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
            ends = self._ends(numbers)
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

    def _ends(self, numbers: Sequence[int]) -> dict[int, int]:
        """Where each partition ends now; one that was added a moment ago is waited for.

        A topic that has too few partitions says the same: it has a moment only.
        """
        deadline = time.monotonic() + min(_ADDED_SECONDS, self._timeout)
        while True:
            self._beat()
            try:
                return {number: self._end(number) for number in numbers}
            except KafkaException as error:
                if error.args[0].code() not in _NOT_KNOWN_YET or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)
            # The client asks for a topic's partitions once, and believes the answer for minutes.
            self._consumer.list_topics(self._topic, timeout=self._timeout)

    def _end(self, number: int) -> int:
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, number), timeout=self._timeout
        )
        return 0 if low == high else high

    def _read(self, ends: dict[int, int], starts: Mapping[int, int]) -> Iterator[InputRecord]:
        places = {number: starts.get(number) or OFFSET_BEGINNING for number in ends}
        self._assign(places)
        deadline = time.monotonic() + self._timeout
        unknown_since: float | None = None
        while ends:
            self._beat()
            if unknown_since is not None and time.monotonic() > unknown_since + _ASSIGN_AGAIN_SECONDS:
                self._assign({number: places[number] for number in ends})
                unknown_since = None
            messages = self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS)
            if time.monotonic() > deadline:
                raise BrokerError(f"{self._topic} cannot be read: nothing came for {self._timeout:g} s")
            for message in messages:
                error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is None:
                    deadline = time.monotonic() + self._timeout
                    yield input_record(message)
                    reached = places[number] = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    reached = offset
                elif error.code() in _NOT_KNOWN_YET:
                    unknown_since = unknown_since or time.monotonic()
                    continue
                elif error.fatal() or not error.retriable():
                    raise BrokerError(f"{self._topic} cannot be read: {error}")
                else:
                    continue
                if reached >= ends.get(number, reached + 1):
                    del ends[number]
        self._consumer.unassign()

    def _assign(self, places: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, *place) for place in places.items()])
