"""Uploads: where images are, read back from the log by the places of their uploads."""

import time
from collections.abc import Callable, Iterable, Iterator

from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.events import ImageReference, InputPosition
from worker.errors import BrokerError
from worker.review.image_log import reference_in
from worker.score.parsed import Parsed
from worker.stream.kafka import InputRecord, input_record

_BATCH_RECORDS = 500
_POLL_SECONDS = 0.2
# Records between two that are wanted which are read rather than passed by: asking anew takes a moment, too.
_NEAR = 32

# What is at none of these places any more is not there; waiting would bring none of it.
_GONE = {KafkaError._PARTITION_EOF, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,
         KafkaError.UNKNOWN_TOPIC_OR_PART}  # fmt: skip

# librdkafka properties that the consumer needs beside its group: little is read beyond what is asked for.
PROPERTIES: dict[str, str | int | bool] = {"queued.min.messages": 500, "queued.max.messages.kbytes": 16_384}

Place = tuple[str, int, int]  # topic, partition, offset


class Uploads:
    """Used by one thread. `consumer` is its own, gives EOF (`enable.partition.eof`), and commits nothing.

    `parse` is that of the score role; `timeout` is in seconds without an answer of the broker.
    """

    def __init__(self, consumer: Consumer, parse: Callable[[InputRecord], Parsed], timeout: float) -> None:
        self._consumer = consumer
        self._parse = parse
        self._timeout = timeout

    def references(self, inputs: Iterable[InputPosition]) -> dict[InputPosition, ImageReference]:
        """Where the images are of the events at `inputs`; without those that the log does not hold any more.

        Raises:
            BrokerError: the broker does not answer.

        """
        asked: dict[Place, list[InputPosition]] = {}
        for at in inputs:
            asked.setdefault((at.topic, at.partition, at.offset), []).append(at)
        found: dict[InputPosition, ImageReference] = {}
        for record in self._records(sorted(asked)):
            for at in asked.get((record.topic, record.partition, record.offset), ()):
                if (reference := reference_in(record, at.entry, self._parse)) is not None:
                    found[at] = reference
        return found

    def _records(self, places: list[Place]) -> Iterator[InputRecord]:
        for run in runs(places):
            topic, partition, first = run[0]
            self._consumer.assign([TopicPartition(topic, partition, first)])
            yield from self._up_to(run[-1][2], f"{topic}/{partition}/{first}")
        self._consumer.unassign()

    def _up_to(self, last: int, where: str) -> Iterator[InputRecord]:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            for message in self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS):
                deadline = time.monotonic() + self._timeout
                if (error := message.error()) is not None:
                    if error.code() in _GONE:
                        return
                    if error.fatal() or not error.retriable():
                        raise BrokerError(f"{where} cannot be read: {error}")
                    continue
                record = input_record(message)
                if record.offset <= last:
                    yield record
                if record.offset >= last:
                    return
        raise BrokerError(f"{where} cannot be read: nothing came for {self._timeout:g} s")


def runs(places: list[Place]) -> list[list[Place]]:
    """`places`, in order, in pieces that are read in one go."""
    pieces: list[list[Place]] = []
    for place in places:
        before = pieces[-1][-1] if pieces else None
        if before is not None and before[:2] == place[:2] and place[2] - before[2] <= _NEAR:
            pieces[-1].append(place)
        else:
            pieces.append([place])
    return pieces
