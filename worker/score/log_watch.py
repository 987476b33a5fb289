"""Watches whether the log that is read is still the one that was read: made again, cut, or read anew."""

import logging
import math
import time
from collections.abc import Callable, Iterable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from worker.metrics import Metrics
from worker.score.ledger import Ledger, Partition
from worker.stream.kafka import InputRecord
from worker.stream.topic_identity import RECREATED, Answer, TopicIdentity

Place = tuple[str, int, int]  # topic, partition, offset
Fingerprint = tuple[int, bytes | None, int]  # timestamp, key, size

logger = logging.getLogger(__name__)

# Why a partition's offsets did not go on where they were; the values of a label.
CUT = "log_cut"
WENT_BACK = "offset_went_back"
REASONS = (RECREATED, CUT, WENT_BACK)

_QUERY_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_LARGE_GAP = 100
_MOST_DOUBTFUL = 100_000
_SAME_RESET_SECONDS = 30.0


class LogWatch:
    """Tells, counts and obeys every jump of a partition's offsets. Used by the polling thread alone.

    Markers of transactions and compaction leave gaps as well: lost is what lay below the log's begin.
    """

    def __init__(
        self,
        consumer: Consumer,
        ledger: Ledger,
        identity: TopicIdentity,
        metrics: Metrics,
        begun_again: Callable[[Partition], object] = lambda _: None,
    ) -> None:
        """Watch; `begun_again` is told of each partition whose offsets of before mean nothing any more."""
        self._begun_again = begun_again
        self._consumer = consumer
        self._ledger = ledger
        self._identity = identity
        self._metrics = metrics
        self._next: dict[Partition, int] = {}  # what is read next, where it is known
        self._end: dict[Partition, int] = {}  # of the log, when lag was measured last
        self._went_back: dict[Partition, float] = {}  # when, by the monotonic clock
        self._to_rewind: set[Partition] = set()
        # The topic's id when the offsets were counted from which a partition is read; None: not known yet.
        self._logs: dict[Partition, str | None] = {}
        # What was read when the topic may have been made again already: before the question, and since.
        self._doubtful: dict[Place, Fingerprint] = {}
        self._since_asked: dict[Place, Fingerprint] = {}
        self._done: dict[Place, Fingerprint] = {}
        self._next_query: dict[Partition, float] = {}
        for reason in REASONS:  # shown from the start, as 0
            metrics.poll_resets.labels(reason)
            metrics.poll_lost_offsets.labels(reason)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are assigned anew, or not ours any more."""
        for at in partitions:
            place = (at.topic, at.partition)
            for known in (self._next, self._end, self._went_back, self._next_query, self._logs):
                known.pop(place, None)
            self._to_rewind.discard(place)

    def begun(self, place: Partition, log: str | None) -> bool:
        """A partition is ours from a committed offset on that counts in `log`; None: that is not known.

        Returns:
            Whether that is the log that is there now; else it is read from its beginning.

        """
        self._logs[place] = log
        if log is not None and self._identity.id not in (None, log):
            self.look_now()  # one of the two is behind
        return self._logs.get(place) == log

    def log_of(self, place: Partition) -> str | None:
        """The log in which the offsets of a partition count, where that is known for certain."""
        return self._logs.get(place)

    def measured(self, topic: str, partition: int, end: int) -> None:
        """The log of a partition ends at `end`."""
        self._end[topic, partition] = end

    def read(self, record: InputRecord) -> bool:
        """`record` is the next of its partition: look whether it should have been another one.

        Returns:
            Whether it had its outcome before it was noticed that its topic was made again.

        """
        place = (record.topic, record.partition)
        slack = 1  # a marker
        if place not in self._next:
            self._next[place] = self._committed(record)
            slack = 0
        expected, self._next[place] = self._next[place], record.offset + 1
        if record.offset < expected:
            self._went_back[place] = time.monotonic()
            if place in self._logs:
                self._logs[place] = None
            self._tell(WENT_BACK, place, f"from {expected} to {record.offset}", self._lost(place, expected))
        elif record.offset > expected + slack and (lost := self._below_begin(record, expected)):
            self._tell(CUT, place, f"from {expected} to {record.offset}", lost)
        at, seen = (*place, record.offset), (record.timestamp_ms, record.key, record.size)
        self._since_asked[at] = seen
        return self._done.pop(at, None) == seen

    def start_over_if_recreated(self) -> None:
        """Read a topic that was made again from its beginning."""
        self._heed(self._identity.look())
        self._rewind()

    def look_now(self) -> None:
        """Look, and wait for the answer: partitions are about to leave, or to come from another log."""
        self._heed(self._identity.look_now(_QUERY_SECONDS))

    def _heed(self, answer: Answer) -> None:
        match answer:
            case Answer.ASKED:
                if len(self._doubtful) > _MOST_DOUBTFUL:  # no answer for long
                    self._doubtful = {}
                self._doubtful.update(self._since_asked)
                self._since_asked = {}
            case Answer.SAME:
                self._doubtful = {}
                self._start_over_foreign()
            case Answer.CHANGED:
                self._done = {**self._doubtful, **self._since_asked}
                self._start_over_foreign(unknown=True)

    def _start_over_foreign(self, *, unknown: bool = False) -> None:
        """Start over where offsets count in another log, and where that is `unknown` as well."""
        now = self._identity.id
        for place, log in self._logs.items():
            if now is None or log == now:
                continue
            self._logs[place] = now
            if log is not None or unknown:
                self._start_over(place)

    def _rewind(self) -> None:
        for place in sorted(self._to_rewind):
            try:
                self._consumer.seek(TopicPartition(*place, OFFSET_BEGINNING))
            except KafkaException as error:  # not fetched yet: tried again at the next turn
                logger.debug("%s/%d cannot be read from its beginning yet: %s", *place, error)
            else:
                self._to_rewind.discard(place)
                self._next[place] = 0

    def _start_over(self, place: Partition) -> None:
        if time.monotonic() - self._went_back.pop(place, -math.inf) < _SAME_RESET_SECONDS:
            return  # librdkafka was faster, and the new log has been read from its beginning since
        lost = self._lost(place, self._next.get(place, math.inf))
        self._to_rewind.add(place)
        self._tell(RECREATED, place, "read from its beginning", lost)

    def _lost(self, place: Partition, expected: float) -> int:
        """What was in flight, and what lay behind it when that was measured last, is gone with the log."""
        in_flight = self._ledger.reset(*place)
        self._begun_again(place)
        for offset in in_flight:
            self._done.pop((*place, offset), None)
        return len(in_flight) + int(max(0, self._end.pop(place, 0) - expected))

    def _committed(self, record: InputRecord) -> int:
        """Where the group was when this partition became ours."""
        at = TopicPartition(record.topic, record.partition)
        try:
            (answer,) = self._consumer.committed([at], timeout=_QUERY_SECONDS)
        except KafkaException as error:
            logger.warning("the committed offset of %s/%d is not known: %s", at.topic, at.partition, error)
            return record.offset
        # Without one, the group begins here; above the record, the log was cut below it.
        return answer.offset if answer.offset >= 0 else record.offset

    def _below_begin(self, record: InputRecord, expected: int) -> int:
        """How many of the offsets from `expected` on the log does not hold any more."""
        now, place = time.monotonic(), (record.topic, record.partition)
        if now < self._next_query.get(place, 0.0) and record.offset - expected < _LARGE_GAP:
            return 0
        self._next_query[place] = now + _PAUSE_SECONDS
        try:
            begin, _ = self._consumer.get_watermark_offsets(
                TopicPartition(record.topic, record.partition), timeout=_QUERY_SECONDS
            )
        except KafkaException as error:
            logger.warning("the begin of %s/%d is not known: %s", record.topic, record.partition, error)
            return 0
        return max(0, min(begin, record.offset) - expected)

    def _tell(self, reason: str, place: Partition, where: str, lost: int) -> None:
        self._metrics.poll_resets.labels(reason).inc()
        self._metrics.poll_lost_offsets.labels(reason).inc(lost)
        logger.error("%s/%d: %s, %s; %d offsets have no outcome", *place, reason, where, lost)
