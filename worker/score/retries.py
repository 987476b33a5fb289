"""Retries: events whose store failed are parked, come back when they are due, and never overtake.

The retry topic has a partition for each of the uploads, and whoever owns one owns both: so one worker sees
all that an image has, in order, and an old event is passed over where a newer one of its image had its turn.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.events import UPLOADED, ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from worker.metrics import Metrics
from worker.score.outcome import (
    Event,
    Outcome,
    Parked,
    PassedOver,
    PassOverReason,
    Rejected,
    Removal,
    Verdict,
)
from worker.stream.guard import PERMANENT, raise_if_permanent
from worker.stream.kafka import InputRecord, OutputRecord, Parking, input_record
from worker.stream.record_limits import RecordLimits
from worker.stream.retry import Moment, Note, overtaken_record, parked_record, read_note, unparked
from worker.stream.unreadable import Unreadable

Settled = tuple[InputRecord, Outcome]
Place = tuple[int, str]  # partition and image id

_FIRST_DELAY, _LONGEST_DELAY = 15.0, 600.0
# Offsets of a topic that the group does not subscribe to expire unless they are committed again (KIP-211).
_COMMIT_AGAIN_SECONDS = 3600.0
_POLL_RECORDS = 64
_LONGEST_RETRY_AFTER = 3600.0


class ParkedReader(Protocol):
    """Gives what was parked and is not done."""

    def read(
        self, consumer: Consumer, partitions: Sequence[TopicPartition], starts: dict[int, int]
    ) -> Iterable[InputRecord]:
        """Every record from `starts` on of the same numbers as `partitions`, which `consumer` takes."""

    def close(self) -> None:
        """No more is read."""


@dataclass
class _Partition:
    """A partition of the retry topic that is ours."""

    next_offset: int
    committed_at: float
    read_ahead: deque[tuple[InputRecord, Note | None]] = field(default_factory=deque)
    is_paused: bool = False


@dataclass(frozen=True)
class _Known:
    """Of one image: the events of it that are parked, with since when, and the newest that it has had."""

    parked: tuple[tuple[Moment, int], ...] = ()
    newest: Moment | None = None

    def seen(self, moment: Moment) -> "_Known":
        return _Known(self.parked, moment if self.newest is None else max(self.newest, moment))

    def with_parked(self, moment: Moment, since_ms: int) -> "_Known":
        return _Known((*self.parked, (moment, since_ms)), self.newest)

    def without_parked(self, moment: Moment) -> "_Known":
        left = list(self.parked)
        for parked in self.parked:
            if parked[0] == moment:
                left.remove(parked)
                break
        return _Known(tuple(left), self.newest)


class Retries:
    """The parked events of the assigned partitions. Used by the polling thread alone.

    `consumer` is its own; offsets are committed by the role with those of the uploads. What `applied` learns
    counts for good once `committed` is called: a batch that is not delivered is applied again.
    """

    def __init__(
        self,
        log: ParkedReader,
        consumer: Consumer,
        topic: str,
        retry_for: float,
        timeout: float,
        metrics: Metrics,
        unreadable: Unreadable,
        limits: RecordLimits | None = None,
        clock: Callable[[], float] = time.time,
        recovered: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        """Know nothing yet; `recovered` tells when a host that was down served again, 0 where it did not."""
        self._log = log
        self._consumer = consumer
        self.topic = topic
        self._retry_for = retry_for
        self._timeout = timeout
        self._metrics = metrics
        self._unreadable = unreadable
        self._limits = limits or RecordLimits()
        self._clock = clock
        self._recovered = recovered
        # What was decided of events whose batch is not delivered yet: said again, it is the same record.
        self._decided: dict[tuple[str, int, int, int | None], Parked] = {}
        self._partitions: dict[int, _Partition] = {}
        self._known: dict[Place, _Known] = {}
        self._pending: dict[Place, _Known] = {}
        self._marks: list[OutputRecord] = []
        for reason in (RejectionReason.FETCH_UNREACHABLE, RejectionReason.FETCH_TIMEOUT):
            metrics.retry_parked.labels(reason)  # shown from the start, as 0

    def take(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Read what is parked in the partitions of these numbers, before those are taken. Blocks.

        Returns:
            The retry topic's partitions, which are ours as well.

        Raises:
            BrokerError: it cannot be read.
            KafkaException: as that.

        """
        if not partitions or not self._retry_for:
            return []
        ours = [TopicPartition(self.topic, at.partition) for at in partitions]
        committed = consumer.committed(ours, timeout=self._timeout)
        starts = {at.partition: max(at.offset, 0) for at in committed}
        for record in self._log.read(consumer, partitions, starts):
            self._remember(record.partition, read_note(record))
        now = time.monotonic()
        self._partitions.update({number: _Partition(start, now) for number, start in starts.items()})
        self._consumer.incremental_assign(
            [TopicPartition(self.topic, number, start) for number, start in starts.items()]
        )
        self._measure()
        return ours

    def beside(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """The retry topic's partitions that are ours with these."""
        numbers = (at.partition for at in partitions)
        return [TopicPartition(self.topic, number) for number in numbers if number in self._partitions]

    def forget(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """These are not ours any more, nor are those of the retry topic that this returns."""
        gone = self.beside(partitions)
        for at in gone:
            del self._partitions[at.partition]
        self._known = {place: known for place, known in self._known.items() if place[0] in self._partitions}
        if gone:
            self._consumer.incremental_unassign(gone)
        self._measure()
        return gone

    def close(self) -> None:
        """Leave the retry topic."""
        self._log.close()
        self._consumer.close()

    def due(self) -> list[tuple[InputRecord, InputRecord | None]]:
        """Records of the retry topic that are due, each with its event; None: a mark. Never blocks.

        Raises:
            BrokerError: the topic cannot be read for good.

        """
        if not self._partitions:
            return []
        if any(not partition.is_paused for partition in self._partitions.values()):
            self._read_ahead()
        now_ms = self._clock() * 1000
        found = []
        for number, partition in self._partitions.items():
            waiting = partition.read_ahead
            while waiting and self._is_due(*waiting[0], now_ms):
                record, note = waiting.popleft()
                parking = note.parking if note else None
                found.append((record, unparked(record, parking) if parking else None))
            self._pause(number, partition, paused=bool(waiting))
        return found

    def _is_due(self, record: InputRecord, note: Note | None, now_ms: float) -> bool:
        """Whether its time has come, or its host was down when it was parked and has served since."""
        if note is None or note.parking is None or note.parking.due_ms <= now_ms:
            return True
        return self._recovered(note.host) * 1000 > record.timestamp_ms > 0

    def _read_ahead(self) -> None:
        for message in self._consumer.consume(_POLL_RECORDS, 0.0):
            if (error := message.error()) is not None:
                if not self._unreadable.is_one(message):
                    raise_if_permanent(error, PERMANENT, f"{self.topic} cannot be read")
                continue
            record = input_record(message)
            partition = self._partitions.get(record.partition)
            if partition is not None and self._unreadable.lets_in(record):
                partition.read_ahead.append((record, read_note(record)))

    def _pause(self, number: int, partition: _Partition, *, paused: bool) -> None:
        """Read no further than the first that is not due: in its partition all others come after it."""
        if paused == partition.is_paused:
            return
        at = [TopicPartition(self.topic, number)]
        try:
            (self._consumer.pause if paused else self._consumer.resume)(at)
        except KafkaException:  # not assigned yet: tried again at the next turn
            return
        partition.is_paused = paused

    def applied(self, entries: Sequence[Settled]) -> list[Settled]:
        """The finished `entries`, with what is old passed over and what failed for too long rejected."""
        self._pending, self._marks = {}, []
        now_ms = int(self._clock() * 1000)
        returned = set()
        for record, _ in entries:
            if (parking := record.parking) is not None:
                place = (record.partition, parking.image_id)
                returned.add(place)
                self._pending[place] = self._of(place).without_parked(Moment(parking.time, record.offset))
        for record, outcome in entries:
            self._see(record, outcome, returned)
        settled = [(record, self._judged(record, outcome, now_ms)) for record, outcome in entries]
        for record, outcome in settled:
            if isinstance(outcome, Parked) and (parking := outcome.parking) is not None:
                place, moment = (record.partition, parking.image_id), Moment(parking.time, record.offset)
                self._pending[place] = self._of(place).with_parked(moment, parking.since_ms)
        self._mark()
        return settled

    def _see(self, record: InputRecord, outcome: Outcome, returned: set[Place]) -> None:
        """Note that an image has had `outcome`, where an event of it is parked or this one is to be."""
        event = _change(outcome)
        if event is None or record.partition not in self._partitions:
            return
        place = (record.partition, event.image_id)
        known = self._of(place)
        if known.parked or place in returned or isinstance(outcome, Parked):
            self._pending[place] = known.seen(Moment(event_time(event), record.offset))

    def _judged(self, record: InputRecord, outcome: Outcome, now_ms: int) -> Outcome:
        parking = record.parking
        if parking is not None and parking.type == UPLOADED:
            newest = self._of((record.partition, parking.image_id)).newest
            if newest is not None and newest > Moment(parking.time, record.offset):
                return PassedOver(PassOverReason.OVERTAKEN)
        if not isinstance(outcome, Parked):
            return outcome
        if parking is not None and now_ms - parking.since_ms >= self._retry_for * 1000:
            return Rejected(outcome.failure, outcome.event)
        place = (record.topic, record.partition, record.offset, record.entry)
        if (decided := self._decided.get(place)) is None:
            decided = self._decided[place] = self._until_later(outcome, parking, now_ms)
        if not self._limits.fits(parked_record(self.topic, record, _parking(decided), decided.failure)):
            return Rejected(outcome.failure, outcome.event)
        return decided

    def _until_later(self, outcome: Parked, parking: Parking | None, now_ms: int) -> Parked:
        attempts, since_ms = (parking.attempts, parking.since_ms) if parking else (0, now_ms)
        delay = min(_FIRST_DELAY * 2**attempts, _LONGEST_DELAY) * random.uniform(0.9, 1.1)
        delay = max(delay, min(outcome.failure.retry_after or 0.0, _LONGEST_RETRY_AFTER))
        event = outcome.event
        return replace(
            outcome,
            parking=Parking(
                event.image_id,
                event.type,
                event_time(event),
                attempts + 1,
                since_ms,
                now_ms + int(delay * 1000),
            ),
        )

    def _mark(self) -> None:
        """Where an image has had something newer than what is parked of it, the next owner must know."""
        for place, known in self._pending.items():
            before = self._known.get(place, _Known()).newest
            newer = known.newest
            if newer is not None and newer != before and any(moment < newer for moment, _ in known.parked):
                self._marks.append(overtaken_record(self.topic, *place, newer))

    def records(self) -> list[OutputRecord]:
        """What the batch that was last applied adds to the retry topic beside its parked events."""
        return self._marks

    def kept_offsets(self, offsets: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Offsets to commit with `offsets`, since those of the retry topic were not for long."""
        now = time.monotonic()
        for at in offsets:
            if at.topic == self.topic and (partition := self._partitions.get(at.partition)):
                partition.next_offset, partition.committed_at = at.offset, now
        late = [
            (number, partition)
            for number, partition in self._partitions.items()
            if now - partition.committed_at > _COMMIT_AGAIN_SECONDS
        ]
        for _, partition in late:
            partition.committed_at = now
        return [TopicPartition(self.topic, number, partition.next_offset) for number, partition in late]

    def committed(self) -> None:
        """What was last applied is durable."""
        for place, known in self._pending.items():
            if known.parked:
                self._known[place] = known
            else:
                self._known.pop(place, None)
        if self._pending:
            self._measure()
        self._pending, self._marks = {}, []
        self._decided = {}

    def _of(self, place: Place) -> _Known:
        return self._pending.get(place) or self._known.get(place) or _Known()

    def _remember(self, partition: int, note: Note | None) -> None:
        if note is None:
            return
        place = (partition, note.image_id)
        known = self._known.get(place, _Known())
        if note.parking is None or note.parking.type == UPLOADED:
            known = known.seen(note.moment)
        if note.parking is not None:
            known = known.with_parked(note.moment, note.parking.since_ms)
        self._known[place] = known

    def _measure(self) -> None:
        since = [since for known in self._known.values() for _, since in known.parked]
        self._metrics.retry_waiting.set(len(since))
        self._metrics.retry_oldest.set(min(since) / 1000 if since else 0.0)


def _parking(parked: Parked) -> Parking:
    assert parked.parking is not None
    return parked.parking


def _change(outcome: Outcome) -> ImageUploaded | ImageDeleted | None:
    """The upload or deletion that an image has had: a review is none, nor what only may be a deletion."""
    if isinstance(outcome, Removal):
        return outcome.event
    if isinstance(outcome, Verdict | Rejected | Parked) and isinstance(outcome.event, ImageUploaded):
        return outcome.event
    return None


def event_time(event: Event) -> datetime:
    """When what an event tells of happened."""
    if isinstance(event, ImageUploaded):
        time = event.uploaded_at
    else:
        time = event.deleted_at if isinstance(event, ImageDeleted) else event.reviewed_at
    return time.astimezone(UTC)
