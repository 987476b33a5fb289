"""What each image has had since an event of it: an event that something newer has overtaken is not sent back.

Newer is what has the later `uploaded_at` or `deleted_at`; of the same time, what stands later in the log.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.stream.kafka import InputRecord, input_record

logger = logging.getLogger(__name__)

# On a record that was sent back: the event id of the dead letter that it came from.
REPLAY_OF = "mekiki.replay_of"

_BATCH_RECORDS = 500
_POLL_SECONDS = 0.3
# A producer's clock may be behind, and another partition's records are found by their time alone.
_SLACK_MS = 3_600_000


@dataclass(frozen=True)
class ImageEvent:
    """What a record says about an image. Without a `time`, its place in the log alone tells what is newer.

    `value` is that of a record of this event alone, where its own holds several.
    """

    image_id: str
    event_id: str
    time: datetime | None
    value: bytes | None = None


@dataclass(frozen=True)
class Origin:
    """Where in the log an event stood: offsets tell the order in a partition, record times elsewhere."""

    partition: int
    offset: int
    timestamp_ms: int

    def is_before(self, other: "Origin") -> bool:
        """Whether `other` was written later."""
        if self.partition == other.partition:
            return self.offset < other.offset
        return self.timestamp_ms < other.timestamp_ms


class Overtaken(StrEnum):
    """Why a dead letter is not sent back."""

    DELETED_OR_NEWER = "overtaken"
    ALREADY_SENT = "already_sent"


ReadEvents = Callable[[InputRecord], Sequence[ImageEvent]]


@dataclass
class _Latest:
    """Of one image: all that was read of it."""

    seen: list[tuple[ImageEvent, Origin]] = field(default_factory=list)


class History:
    """Reads `topic` onwards, and keeps what it says about the images that are asked for.

    `consumer` is its own, and commits nothing. `timeout` is in seconds without an answer of the broker.
    """

    def __init__(self, consumer: Consumer, topic: str, read_events: ReadEvents, timeout: float) -> None:
        self._consumer = consumer
        self._topic = topic
        self.read_events = read_events
        self._timeout = timeout
        self._images: dict[str, _Latest] = {}
        self._sent_back: set[bytes] = set()
        self._reached: dict[int, int] = {}
        self._at_end: set[int] = set()

    def begin(self, image_ids: Iterable[str], origins: Sequence[Origin]) -> None:
        """Ask for these images, whose events stood at `origins`.

        Raises:
            BrokerError: the broker does not answer.

        """
        self._images = {image_id: _Latest() for image_id in image_ids}
        try:
            starts = self._starts(origins)
        except KafkaException as error:
            raise BrokerError(f"the broker does not tell where {self._topic} begins: {error}") from error
        self._reached = {at.partition: at.offset for at in starts}
        self._consumer.assign(starts)

    def _starts(self, origins: Sequence[Origin]) -> list[TopicPartition]:
        metadata = self._consumer.list_topics(self._topic, timeout=self._timeout).topics[self._topic]
        since = max(0, min((origin.timestamp_ms for origin in origins), default=0) - _SLACK_MS)
        asked = [TopicPartition(self._topic, number, since) for number in metadata.partitions]
        starts = self._consumer.offsets_for_times(asked, timeout=self._timeout)
        for at in starts:
            low, high = self._consumer.get_watermark_offsets(at, timeout=self._timeout)
            mine = [origin.offset for origin in origins if origin.partition == at.partition]
            # Offsets beyond the end are those of a topic of that name that is no more.
            first = low if any(offset >= high for offset in mine) else min(mine, default=high)
            by_time = high if at.offset in (OFFSET_END, -1) else at.offset
            at.offset = max(low, min(first, by_time, high))
        return starts

    def catch_up(self) -> None:
        """Read up to the end that the topic has now.

        Raises:
            BrokerError: the broker does not answer.

        """
        ends = self._ends()
        deadline = time.monotonic() + self._timeout
        while any(self._reached[partition] < end for partition, end in ends.items()):
            messages = self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS)
            if not messages and self._at_end.issuperset(ends):
                return  # what lies behind is of transactions that are open
            if messages:
                deadline = time.monotonic() + self._timeout
            elif time.monotonic() > deadline:
                raise BrokerError(f"{self._topic} cannot be read: nothing came for {self._timeout:g} s")
            for message in messages:
                if (error := message.error()) is None:
                    self._take(input_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    partition, end = message.partition() or 0, message.offset() or 0
                    self._reached[partition] = max(self._reached[partition], end)
                    self._at_end.add(partition)
                elif error.fatal() or not error.retriable():
                    raise BrokerError(f"{self._topic} cannot be read: {error}")

    def _ends(self) -> dict[int, int]:
        try:
            return {
                number: self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=self._timeout
                )[1]
                for number in self._reached
            }
        except KafkaException as error:
            raise BrokerError(f"the broker does not tell where {self._topic} ends: {error}") from error

    def _take(self, record: InputRecord) -> None:
        self._reached[record.partition] = record.offset + 1
        self._at_end.discard(record.partition)
        if (sent_back := dict(record.headers).get(REPLAY_OF)) is not None:
            self._sent_back.add(sent_back)
        origin = Origin(record.partition, record.offset, record.timestamp_ms)
        for event in self.read_events(record):
            if event.image_id in self._images:
                self._images[event.image_id].seen.append((event, origin))

    def why_not(self, letter_id: bytes, event: ImageEvent | None, origin: Origin) -> Overtaken | None:
        """Why the `event` that stood at `origin` is not to be sent back; None: it is.

        `letter_id` is the event id of its dead letter. An event that cannot be read is None.
        """
        if letter_id in self._sent_back:
            return Overtaken.ALREADY_SENT
        if event is None:
            return None
        for other, there in self._images[event.image_id].seen:
            if other.event_id == event.event_id:
                if origin.is_before(there):
                    return Overtaken.ALREADY_SENT
            elif _is_newer(other, there, event, origin):
                return Overtaken.DELETED_OR_NEWER
        return None


def _is_newer(other: ImageEvent, there: Origin, event: ImageEvent, origin: Origin) -> bool:
    if other.time is None or event.time is None or other.time == event.time:
        return origin.is_before(there)
    return other.time > event.time
