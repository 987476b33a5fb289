"""Which polled events may go into the pipeline: side by side, or apart where one may end the process."""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.metrics import Metrics
from worker.score.ledger import Entry, Ledger, Partition
from worker.score.outcome import Rejected, Several
from worker.score.parsed import Parsed
from worker.score.pipeline import Completed, Pipeline
from worker.score.prepare import Prepared
from worker.score.trace import How, Place, Trace
from worker.stream.kafka import InputRecord

logger = logging.getLogger(__name__)

_QUERY_SECONDS = 0.5

# Prepared together while partitions are taken apart: enough to fetch side by side, few enough to hold.
_TOGETHER = 16

# A random end of a process finds an event alone by chance, but not the same one once more.
_DEATHS = 2


@dataclass
class _Inherited:
    """A partition whose owner died: what it left, and the events that wait to be taken apart."""

    trace: Trace
    waiting: deque[Entry] = field(default_factory=deque)

    def is_culprit(self, entry: Entry) -> bool:
        return self.trace.deaths >= _DEATHS and self.trace.suspect == _place(entry)


class Logs(Protocol):
    """Knows in which log the offsets of a partition count."""

    def begun(self, place: Partition, log: str | None) -> bool:
        """A partition begins at an offset that counts in `log`; whether that is the log that is there."""

    def log_of(self, place: Partition) -> str | None:
        """That log, where it is known for certain."""


class Admission:
    """Lets events in, and says what is committed beside the offsets (trace.py). For the polling thread alone.

    Nothing of a partition goes in before it is known what its last owner left, and before it stands beside
    the offset that this process has begun. `in_flight_limit` is in events.
    """

    def __init__(
        self,
        consumer: Consumer,
        ledger: Ledger,
        pipeline: Pipeline[Entry],
        parse: Callable[[InputRecord], Parsed],
        in_flight_limit: int,
        metrics: Metrics,
        logs: Logs,
    ) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._pipeline = pipeline
        self._parse = parse
        self._limit = in_flight_limit
        self._metrics = metrics
        self._logs = logs
        self.inside = 0  # events in the pipeline, those of revoked partitions among them, and their bytes
        self.inside_bytes = 0
        # Ours, and what their last owners left is not known: their events.
        self._unknown: dict[Partition, deque[Entry]] = {}
        self._next_question = 0.0
        self._doubtful: Partition | None = None  # of which the broker told nothing, when it was asked last
        self._unmarked: set[Partition] = set()  # known, and nothing says yet that this process has begun
        self._committed: dict[Partition, int] = {}
        self._inherited: dict[Partition, _Inherited] = {}
        self._waiting: deque[Entry] = deque()
        self._group: set[Entry] = set()  # taken apart, and inside
        self._held: list[tuple[Entry, Prepared]] = []
        self._mark: tuple[Partition, Place | None] | None = None  # None: together
        self._marked = False

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours from now on."""
        for at in partitions:
            self._unknown[at.topic, at.partition] = deque()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are not ours any more."""
        for place in ((at.topic, at.partition) for at in partitions):
            self._unknown.pop(place, None)
            self._unmarked.discard(place)
            self._committed.pop(place, None)
            self._inherited.pop(place, None)
            if self._mark is not None and self._mark[0] == place:
                self._mark = None

    def begin_again(self, place: Partition) -> None:
        """A partition is read from its beginning: the offsets of before are those of another log."""
        self._committed.pop(place, None)
        self._inherited.pop(place, None)
        if self._mark is not None and self._mark[0] == place:
            self._mark = None

    @property
    def unknown(self) -> Collection[Partition]:
        """Partitions of which nothing may be committed yet: what stands beside their offsets is not read."""
        return self._unknown.keys()

    def take(self, entry: Entry) -> None:
        """Let this event in when it may go in."""
        place = entry.at
        if place in self._unknown:
            self._unknown[place].append(entry)
            return
        inherited = self._inherited.get(place)
        if inherited is not None and entry.offset < inherited.trace.until:
            inherited.waiting.append(entry)
        else:
            self._waiting.append(entry)

    def came_out(self, completed: Completed[Entry]) -> None:
        """Take in what the pipeline gave."""
        entry, outcome = completed.ticket, completed.outcome
        self.inside -= 1
        self.inside_bytes -= entry.record.size
        apart = entry in self._group
        self._group.discard(entry)
        if isinstance(outcome, Several):
            parts = self._ledger.split(entry, outcome.values)
            inherited = self._inherited.get(entry.at) if apart else None
            (self._waiting if inherited is None else inherited.waiting).extendleft(reversed(parts))
        elif isinstance(outcome, Prepared):
            if entry.is_ours:
                self._held.append((entry, outcome))
        else:
            entry.outcome = outcome

    def learn(self) -> None:
        """Ask what the last owners left, once there is something to let in. Blocks for half a second.

        One partition keeps the others waiting for one question only: a transaction that its last owner left
        open is pending for up to kafka.transaction_timeout.

        Raises:
            KafkaException: the broker does not tell; ask again.

        """
        asked = [place for place, entries in self._unknown.items() if entries and place != self._doubtful]
        if not asked and self._doubtful in self._unknown:
            asked = [self._doubtful]
        if not asked or time.monotonic() < self._next_question:
            return
        if self._doubtful is not None:
            asked = asked[:1]
        try:
            answers = self._consumer.committed([TopicPartition(*p) for p in asked], timeout=_QUERY_SECONDS)
            for at in answers:
                if at.error is not None:
                    raise KafkaException(at.error)
                self._learned(at)
        except KafkaException:
            self._doubtful = asked[0]
            self._next_question = time.monotonic() + _QUERY_SECONDS
            raise
        if asked == [self._doubtful]:
            self._doubtful = None

    def turn(self, commit: Callable[[], bool]) -> None:
        """Let in what may go in. `commit` makes `offsets` durable, and says whether it did."""
        self._drop_foreign()
        if self._unmarked and not commit():
            return
        if self._group or self._held or any(there.waiting for there in self._inherited.values()):
            self._take_apart(commit)
            return
        self._mark = None
        while self._waiting and self.inside < self._limit:
            entry = self._waiting.popleft()
            if entry.is_ours:
                self._submit(entry, hold=False)

    def offsets(
        self, finished: Iterable[TopicPartition], closing: Collection[Partition] = ()
    ) -> list[TopicPartition]:
        """What to commit where the events before `finished` are done: offsets, and what stands beside them.

        Others are added whose text must change: those that begin, end (`closing`) or go apart.
        """
        at = {(done.topic, done.partition): done.offset for done in finished}
        others = {*self._unmarked, *closing}
        if self._mark is not None and not self._marked:
            others.add(self._mark[0])
        for place in others - at.keys() - self._unknown.keys():
            offset = self._first(place)
            if offset is not None:
                at[place] = offset
        room = max(0, self._limit - self._ledger.in_flight)
        return [
            TopicPartition(*place, offset, self._text(place, offset, room, place in closing))
            for place, offset in at.items()
        ]

    def committed(self, offsets: Iterable[TopicPartition]) -> None:
        """These, as `offsets` gave them, are durable."""
        for at in offsets:
            place = (at.topic, at.partition)
            self._unmarked.discard(place)
            self._committed[place] = at.offset
            if self._mark is not None and self._mark[0] == place:
                self._marked = True
            inherited = self._inherited.get(place)
            if inherited is not None and at.offset >= inherited.trace.until:
                logger.info("%s/%d: past what was in flight when its last owner ended", *place)
                del self._inherited[place]
        self._measure()

    def _learned(self, at: TopicPartition) -> None:
        place = (at.topic, at.partition)
        left = Trace.of(at.metadata) if at.offset >= 0 else None
        is_of_this_log = self._logs.begun(place, None if left is None else left.log)
        if left is not None and is_of_this_log:
            self._inherit(place, at.offset, left)
        self._unmarked.add(place)
        for entry in self._unknown.pop(place):
            self.take(entry)
        self._measure()

    def _inherit(self, place: Partition, offset: int, left: Trace) -> None:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_QUERY_SECONDS)
        trace = left.inherited()
        until = min(trace.until, end)
        if not left.clean:
            self._metrics.poll_unclean_ends.inc()
        if until <= offset:
            return
        logger.warning(
            "%s/%d: its last owner %s; the events from %d to %d are taken %s%s",
            *place,
            "stopped while it took events apart" if left.clean else "did not end in order",
            offset,
            until - 1,
            "one at a time" if trace.how is How.ALONE else "one at a time in the model",
            ""
            if trace.suspect is None
            else f"; {trace.suspect.offset} was alone in {trace.deaths} that ended",
        )
        self._inherited[place] = _Inherited(replace(trace, until=until))

    def _take_apart(self, commit: Callable[[], bool]) -> None:
        """Take the next step with events of which one may have ended a process; no other goes in."""
        if self.inside:
            return
        if not self._held:
            self._next_group(commit)
            return
        self._held.sort(key=lambda held: (held[0].offset, held[0].record.entry or 0))
        entry, prepared = self._held[0]
        if self._marks(entry.at, _place(entry), commit):
            del self._held[0]
            self._enter(entry)
            self._pipeline.judge(entry, prepared)

    def _next_group(self, commit: Callable[[], bool]) -> None:
        partition, there = next((p, i) for p, i in self._inherited.items() if i.waiting)
        if there.is_culprit(there.waiting[0]):
            self._reject(there.waiting.popleft(), there.trace)
            return
        alone = there.trace.how is How.ALONE
        if not self._marks(partition, _place(there.waiting[0]) if alone else None, commit):
            return
        for _ in range(1 if alone else _TOGETHER):
            if not there.waiting or there.is_culprit(there.waiting[0]):
                break
            entry = there.waiting.popleft()
            self._group.add(entry)
            self._submit(entry, hold=True)

    def _marks(self, partition: Partition, place: Place | None, commit: Callable[[], bool]) -> bool:
        """Let it stand beside the offset what goes in now; whether it does."""
        if self._mark != (partition, place):
            self._mark, self._marked = (partition, place), False
        return self._marked or (commit() and self._marked)

    def _reject(self, entry: Entry, trace: Trace) -> None:
        detail = (
            f"{trace.deaths} worker processes ended while this event was the only one inside, and one before "
            "while it was among others: it aborts the process, hangs, or takes more memory than there is. "
            "Keep its bytes for whoever mends that, then send it again with `mekiki replay`"
        )
        logger.error("%s/%d/%d: %s", *entry.at, entry.offset, detail)
        entry.outcome = Rejected(Rejection(RejectionReason.WORKER_CRASHED, detail))

    def _submit(self, entry: Entry, *, hold: bool) -> None:
        self._enter(entry)
        is_new = entry.record.parking is None
        self._pipeline.submit(entry, partial(self._parse, entry.record), hold=hold, is_new=is_new)

    def _enter(self, entry: Entry) -> None:
        self.inside += 1
        self.inside_bytes += entry.record.size

    def _drop_foreign(self) -> None:
        self._held = [held for held in self._held if held[0].is_ours]
        for there in self._inherited.values():
            while there.waiting and not there.waiting[0].is_ours:
                there.waiting.popleft()

    def _first(self, place: Partition) -> int | None:
        """Where a successor would begin; None where that is not for us to say."""
        span = self._ledger.span(place)
        return self._committed.get(place) if span is None else span[0]

    def _text(self, place: Partition, offset: int, room: int, closing: bool) -> str:
        there, log = self._inherited.get(place), self._logs.log_of(place)
        if there is None or offset >= there.trace.until:
            span = self._ledger.span(place)
            if closing:
                return "" if log is None else Trace(offset, clean=True, log=log).text()
            # What is polled before the next commit is in flight as well, and there is no more room than that.
            return Trace((offset if span is None else span[1]) + room, log=log).text()
        trace = replace(there.trace, log=log)
        if closing:
            return replace(trace, clean=True).text()
        if self._mark is None or self._mark[0] != place:
            return trace.text()
        alone = self._mark[1]
        return replace(trace, together=alone is None, alone=alone).text()

    def _measure(self) -> None:
        self._metrics.poll_apart.set(sum(len(there.waiting) for there in self._inherited.values()))


def _place(entry: Entry) -> Place:
    return Place(entry.offset, entry.record.entry, entry.record.timestamp_ms)
