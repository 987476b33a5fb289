"""Replay: rejected events back to where they came from, after a fix."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.stream.dead_letter import REASON, TIMESTAMP, TOPIC, original_headers
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.kafka import Headers, InputRecord, OutputRecord, input_record

logger = logging.getLogger(__name__)

REPLAYS = "mekiki.replays"

_CHUNK_RECORDS = 200


@dataclass(frozen=True)
class Replay:
    """One run over a dead-letter topic, from where the last one with the same filter ended to its end now.

    `reason` is a reason or the beginning of one, such as `fetch.`; None replays everything.
    """

    consumer: Consumer
    delivery: Delivery
    topic: str
    targets: frozenset[str]
    reason: str | None
    timeout: float

    def run(self, progress: Callable[[int], object]) -> tuple[int, int]:
        """Replay.

        Returns:
            How many events were sent back, and how many were passed over.

        Raises:
            BrokerError: Kafka failed; what was reported to `progress` is durable.

        """
        ends = self._assign()
        sent = passed = 0
        while ends:
            records = []
            for message in self.consumer.consume(_CHUNK_RECORDS, 0.5):
                error = message.error()
                if error is None:
                    records.append(input_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    # Control records of transactions count in offsets: the last event may lie before the end.
                    ends.pop(message.partition() or 0, None)
                else:
                    raise BrokerError(f"the dead-letter topic cannot be read: {error}")
            back = [self._original(record) for record in records if self._wanted(record)]
            if records:
                self._deliver(back, records)
            sent, passed = sent + len(back), passed + len(records) - len(back)
            progress(len(records))
            for record in records:
                if record.offset + 1 >= ends.get(record.partition, record.offset + 2):
                    del ends[record.partition]
        return sent, passed

    def _assign(self) -> dict[int, int]:
        """Start at the committed offsets; the ends are those of now, so that a run is finite."""
        try:
            metadata = self.consumer.list_topics(self.topic, timeout=self.timeout).topics[self.topic]
            if metadata.error is not None:
                raise BrokerError(f"there is no topic {self.topic}: {metadata.error}")
            partitions = [TopicPartition(self.topic, number) for number in metadata.partitions]
            starts, ends = self.consumer.committed(partitions, timeout=self.timeout), {}
            for at in starts:
                low, high = self.consumer.get_watermark_offsets(at, timeout=self.timeout)
                at.offset = low if at.offset == OFFSET_INVALID else max(low, at.offset)
                if at.offset < high:
                    ends[at.partition] = high
        except KafkaException as error:
            raise BrokerError(f"the broker does not answer: {error.args[0]}") from error
        self.consumer.assign(starts)
        return ends

    def _wanted(self, record: InputRecord) -> bool:
        headers = dict(record.headers)
        reason = (headers.get(REASON) or b"").decode("utf-8", "replace")
        target = (headers.get(TOPIC) or b"").decode("utf-8", "replace")
        if target not in self.targets:
            logger.warning(
                "%s/%d/%d is passed over: it came from %r, which is none of %s",
                self.topic,
                record.partition,
                record.offset,
                target,
                sorted(self.targets),
            )
            return False
        return self.reason is None or reason.startswith(self.reason)

    def _original(self, record: InputRecord) -> OutputRecord:
        headers = dict(record.headers)
        target = (headers.get(TOPIC) or b"").decode("utf-8", "replace")
        counted = headers.get(REPLAYS) or b""
        times = (
            int(counted) if counted.isdigit() and len(counted) < 10 else 0
        ) + 1  # a producer may set it too
        kept = tuple(header for header in original_headers(record.headers) if header[0] != REPLAYS)
        own = ((REPLAYS, str(times).encode()), *_event_timestamp(headers))
        return OutputRecord(target, record.key, record.value, (*kept, *own))

    def _deliver(self, back: list[OutputRecord], records: list[InputRecord]) -> None:
        next_offsets = {record.partition: record.offset + 1 for record in records}
        offsets = [TopicPartition(self.topic, number, offset) for number, offset in next_offsets.items()]
        try:
            self.delivery.deliver(back, offsets, self.consumer)
        except NotDelivered as error:
            raise BrokerError(f"the replay stopped, nothing of its last step was sent: {error}") from error


def _event_timestamp(headers: dict[str, bytes | None]) -> Headers:
    """The event's own time stays in the header: as record time, retention would delete it at once."""
    return ((TIMESTAMP, headers[TIMESTAMP]),) if TIMESTAMP in headers else ()
