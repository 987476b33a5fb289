"""What came of each upload, read from the output topics."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.events import (
    EMBEDDED,
    ImageEmbedded,
    ImageEnriched,
    ImageModerated,
    IndexUpdated,
    derived_event_id,
)
from worker.demo.publish import Position, Published
from worker.demo.uploads import Kind
from worker.errors import BrokerError
from worker.settings import TopicSettings
from worker.stream.dead_letter import MESSAGE, OFFSET, PARTITION, REASON
from worker.stream.kafka import InputRecord, input_record

_POLL_RECORDS = 500
_CLOUD_EVENT_ID = "ce_id"


@dataclass(frozen=True)
class DeadLetter:
    """A rejection as the dead-letter topic tells it."""

    reason: str
    detail: str


@dataclass
class Seen:
    """Everything read so far. Positions are (partition, offset) of the uploaded or the embedded topic.

    `again` counts outcomes of a position that had one already.
    """

    verdicts: dict[Position, ImageModerated] = field(default_factory=dict)
    verdict_ms: dict[Position, int] = field(default_factory=dict)
    enriched: dict[Position, ImageEnriched] = field(default_factory=dict)
    rejections: dict[Position, DeadLetter] = field(default_factory=dict)
    embedded: dict[Position, Position] = field(default_factory=dict)
    embedded_records: set[Position] = field(default_factory=set)
    tombstones: Counter[str] = field(default_factory=Counter)
    searchable: dict[str, bool] = field(default_factory=dict)
    updates: dict[Position, IndexUpdated] = field(default_factory=dict)
    index_rejections: list[DeadLetter] = field(default_factory=list)
    again: int = 0


class Observer:
    """Reads the output topics of `topics` from their beginning."""

    def __init__(self, consumer: Consumer, topics: TopicSettings) -> None:
        self.seen = Seen()
        self._consumer = consumer
        self._readers: dict[str, Callable[[InputRecord], None]] = {
            topics.moderated: self._verdict,
            topics.enriched: self._enriched,
            topics.embedded: self._embedded,
            topics.dead_letter: self._rejection,
            topics.index_updated: self._update,
            topics.index_dead_letter: self._index_rejection,
        }
        known = consumer.list_topics(timeout=10).topics
        consumer.assign([TopicPartition(t, p, 0) for t in self._readers for p in known[t].partitions])

    def poll(self, seconds: float) -> int:
        """Read what is there; waits up to `seconds` for the first record. Gives how many were read.

        Raises:
            BrokerError: a topic cannot be read.

        """
        messages = self._consumer.consume(_POLL_RECORDS, seconds)
        for message in messages:
            error = message.error()
            if error is not None:
                if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise BrokerError(f"the outcomes cannot be read: {error}")
                continue
            record = input_record(message)
            self._readers[record.topic](record)
        return len(messages)

    def _verdict(self, record: InputRecord) -> None:
        verdict = ImageModerated.read(record.value)
        position = (verdict.input.partition, verdict.input.offset)
        self.seen.again += position in self.seen.verdicts
        self.seen.verdicts[position] = verdict
        self.seen.verdict_ms[position] = record.timestamp_ms

    def _enriched(self, record: InputRecord) -> None:
        event = ImageEnriched.read(record.value)
        self.seen.enriched[event.input.partition, event.input.offset] = event

    def _embedded(self, record: InputRecord) -> None:
        position = (record.partition, record.offset)
        self.seen.embedded_records.add(position)
        self.seen.searchable[(record.key or b"").decode()] = record.value is not None
        if record.value is None:
            headers = dict(record.headers)
            self.seen.tombstones[(headers[_CLOUD_EVENT_ID] or b"").decode()] += 1
        else:
            event = ImageEmbedded.read(record.value)
            self.seen.embedded[event.input.partition, event.input.offset] = position

    def _rejection(self, record: InputRecord) -> None:
        headers = {name: (value or b"").decode() for name, value in record.headers}
        position = (int(headers[PARTITION]), int(headers[OFFSET]))
        self.seen.again += position in self.seen.rejections
        self.seen.rejections[position] = DeadLetter(headers[REASON], headers[MESSAGE])

    def _update(self, record: InputRecord) -> None:
        event = IndexUpdated.read(record.value)
        self.seen.updates[event.input.partition, event.input.offset] = event

    def _index_rejection(self, record: InputRecord) -> None:
        headers = {name: (value or b"").decode() for name, value in record.headers}
        self.seen.index_rejections.append(DeadLetter(headers[REASON], headers[MESSAGE]))


def missing_outcomes(published: Iterable[Published], seen: Seen) -> list[str]:
    """Every outcome that is not there, in words; empty when each event has exactly what it must have.

    An upload must have a verdict on the moderated and enriched topics and a vector (a tombstone unless
    it is accepted), or one rejection; a deletion a tombstone; every record of the embedded topic an
    acknowledgement of the index.
    """
    missing: list[str] = []
    tombstones: Counter[str] = Counter()
    for each in published:
        upload = each.upload
        if upload.kind == Kind.DELETION:
            tombstones[_tombstone_id(upload.event_id)] += 1
            continue
        verdict, rejected = seen.verdicts.get(each.position), each.position in seen.rejections
        if (verdict is None) != rejected:
            missing.append(
                f"{upload.image_id}: {'both a verdict and a rejection' if rejected else 'no outcome'}"
            )
        elif verdict is not None:
            missing += _missing_parts(each, verdict, seen)
            if verdict.decision != "accept":
                tombstones[_tombstone_id(verdict.input.event_id)] += 1
    missing += [f"tombstone {event_id}" for event_id in (tombstones - seen.tombstones)]
    unacknowledged = len(seen.embedded_records - seen.updates.keys()) - len(seen.index_rejections)
    if unacknowledged > 0:
        missing.append(f"the index's acknowledgement of {unacknowledged} records")
    return missing


def _missing_parts(each: Published, verdict: ImageModerated, seen: Seen) -> list[str]:
    missing = []
    if each.position not in seen.enriched:
        missing.append(f"{each.upload.image_id}: no tags")
    if verdict.decision == "accept" and each.position not in seen.embedded:
        missing.append(f"{each.upload.image_id}: no vector")
    return missing


def _tombstone_id(event_id: str) -> str:
    return str(derived_event_id(EMBEDDED, event_id))
