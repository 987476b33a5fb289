"""Replay: rejected events back to where they came from, after a fix.

Never behind what their images have had since: see `overtaken`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.replay.history import REPLAY_OF, History, ImageEvent, Origin, Overtaken
from worker.stream.dead_letter import (
    EVENT_ID,
    OFFSET,
    PARTITION,
    REASON,
    TIMESTAMP,
    TOPIC,
    VALUE_BYTES,
    event_timestamp_ms,
    original_headers,
)
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.kafka import Headers, InputRecord, OutputRecord, input_record

logger = logging.getLogger(__name__)

REPLAYS = "mekiki.replays"

OTHER_REASON = "other_reason"
ELSEWHERE = "from_elsewhere"
WITHOUT_VALUE = "without_value"

_CHUNK_RECORDS = 200


@dataclass(frozen=True)
class Replay:
    """One run over a dead-letter topic, from where the last one with the same filter ended to its end now.

    `reason` is a reason or the beginning of one, such as `fetch.`; None replays everything. `history` is that
    of `target`.
    """

    consumer: Consumer
    delivery: Delivery
    history: History
    topic: str
    target: str
    reason: str | None
    timeout: float

    def run(self, progress: Callable[[int], object]) -> tuple[int, Counter[str]]:
        """Replay.

        1. Read the dead letters once, to know which images and which part of the target's log matter.
        2. Read them again, a chunk at a time; before each is sent, read the target up to its present end.

        Returns:
            How many events were sent back, and how many dead letters were passed over for which reason.

        Raises:
            BrokerError: Kafka failed; what was reported to `progress` is durable.

        """
        starts, ends = self._bounds()
        self._survey(starts, ends)
        sent, passed = 0, Counter[str]()
        for records in self._read(starts, ends):
            self.history.catch_up()
            back = [out for record in records for out in self._judged(record, passed)]
            self._deliver(back, records)
            sent += len(back)
            progress(len(records))
        return sent, passed

    def _survey(self, starts: list[TopicPartition], ends: dict[int, int]) -> None:
        images: set[str] = set()
        origins: list[Origin] = []
        for records in self._read(starts, ends):
            for record in records:
                if self._unwanted(record) is None:
                    images.update(event.image_id for event in self.history.read_events(record))
                    origins.append(_origin(record))
        if origins:
            self.history.begin(images, _earliest(origins))

    def _read(self, starts: list[TopicPartition], ends: dict[int, int]) -> Iterator[list[InputRecord]]:
        """The records between `starts` and `ends`, some at a time."""
        left = dict(ends)
        self.consumer.assign(starts)
        while left:
            records = []
            for message in self.consumer.consume(_CHUNK_RECORDS, 0.5):
                error = message.error()
                if error is None:
                    records.append(input_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    # Control records of transactions count in offsets: the last event may lie before the end.
                    left.pop(message.partition() or 0, None)
                else:
                    raise BrokerError(f"the dead-letter topic cannot be read: {error}")
            # What came in since is the next run's, which has surveyed it.
            records = [record for record in records if record.offset < ends.get(record.partition, 0)]
            if records:
                yield records
            for record in records:
                if record.offset + 1 >= ends[record.partition]:
                    left.pop(record.partition, None)

    def _bounds(self) -> tuple[list[TopicPartition], dict[int, int]]:
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
        return starts, ends

    def _unwanted(self, record: InputRecord) -> str | None:
        headers = dict(record.headers)
        if _text(headers, TOPIC) != self.target:
            return ELSEWHERE
        if VALUE_BYTES in headers:
            return WITHOUT_VALUE
        wanted = self.reason is None or _text(headers, REASON).startswith(self.reason)
        return None if wanted else OTHER_REASON

    def _judged(self, record: InputRecord, passed: Counter[str]) -> list[OutputRecord]:
        """What is sent back of a dead letter; what is not is counted in `passed`."""
        if (why := self._unwanted(record)) is not None:
            if why == ELSEWHERE:
                where = f"{self.topic}/{record.partition}/{record.offset}"
                logger.warning("%s is passed over: it did not come from %s", where, self.target)
            passed[why] += 1
            return []
        events = list(self.history.read_events(record))
        reasons = {event: self._why_not(record, event) for event in events or (None,)}
        if not any(reasons.values()):
            return [self._original(record, record.value)]
        left = [event for event, reason in reasons.items() if reason is None]
        passed.update(reason for reason in reasons.values() if reason is not None)
        return [self._original(record, event.value) for event in left if event is not None]

    def _why_not(self, record: InputRecord, event: ImageEvent | None) -> Overtaken | None:
        letter_id = dict(record.headers).get(EVENT_ID) or b""
        return self.history.why_not(letter_id, event, _origin(record))

    def _original(self, record: InputRecord, value: bytes | None) -> OutputRecord:
        headers = dict(record.headers)
        counted = headers.get(REPLAYS) or b""
        # A producer may set it too.
        times = (int(counted) if counted.isdigit() and len(counted) < 10 else 0) + 1
        kept = tuple(
            header for header in original_headers(record.headers) if header[0] not in {REPLAYS, REPLAY_OF}
        )
        own: Headers = (
            (REPLAYS, str(times).encode()),
            (REPLAY_OF, headers.get(EVENT_ID)),
            *_event_timestamp(headers),
        )
        return OutputRecord(self.target, record.key, value, (*kept, *own))

    def _deliver(self, back: list[OutputRecord], records: list[InputRecord]) -> None:
        next_offsets = {record.partition: record.offset + 1 for record in records}
        offsets = [TopicPartition(self.topic, number, offset) for number, offset in next_offsets.items()]
        try:
            self.delivery.deliver(back, offsets, self.consumer)
        except NotDelivered as error:
            raise BrokerError(f"the replay stopped, nothing of its last step was sent: {error}") from error


def _text(headers: dict[str, bytes | None], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")


def _origin(record: InputRecord) -> Origin:
    """Where the event of a dead letter stood."""
    headers = dict(record.headers)
    partition, offset = (_text(headers, name) for name in (PARTITION, OFFSET))
    place = [int(text) if text.isdecimal() and len(text) < 20 else 0 for text in (partition, offset)]
    return Origin(place[0], place[1], event_timestamp_ms(record))


def _earliest(origins: list[Origin]) -> list[Origin]:
    """The first of each partition, and the first by time."""
    first: dict[int, Origin] = {}
    for origin in origins:
        before = first.setdefault(origin.partition, origin)
        if origin.offset < before.offset:
            first[origin.partition] = origin
    return [*first.values(), min(origins, key=lambda origin: origin.timestamp_ms)]


def _event_timestamp(headers: dict[str, bytes | None]) -> Headers:
    """The event's own time stays in the header: as record time, retention would delete it at once."""
    return ((TIMESTAMP, headers[TIMESTAMP]),) if TIMESTAMP in headers else ()
