"""Reads the topics into the database, from where it left off: places and rows are one transaction."""

import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from console.columns import ScoreColumns
from console.rows import RowReader
from console.store import Store
from worker.errors import BrokerError
from worker.health import Health
from worker.metrics import Metrics
from worker.settings import TopicSettings
from worker.stream.kafka import input_record

logger = logging.getLogger(__name__)

CAUGHT_UP = "topics read to their end"
_BATCH_RECORDS = 2000
_POLL_SECONDS = 0.1
_HOUSEKEEPING_SECONDS = 600.0
_LAG_SECONDS = 1.0
_TELLING_SECONDS = 10.0
_ASK_SECONDS = 10.0


class Reader:
    """`run` returns after `stop`, or raises. `retention` is in seconds."""

    def __init__(
        self,
        consumer: Consumer,
        topics: TopicSettings,
        read_rows: RowReader,
        store: Store,
        columns: ScoreColumns,
        retention: float,
        health: Health,
        metrics: Metrics,
        forget: Callable[[str], object] = lambda _: None,
        tell: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`forget` is called with the id of an image that was deleted, `tell` now and then with the lag."""
        self._consumer = consumer
        self._topics = (
            *(topics.uploaded, topics.moderated, topics.enriched),
            *(topics.dead_letter, topics.index_updated, topics.shadowed),
        )
        self._may_lack = {topics.shadowed}  # where no bundle was ever tried
        self._read_rows = read_rows
        self._store = store
        self._columns = columns
        self._retention = retention
        self._health = health
        self._metrics = metrics
        self._forget = forget
        self._tell = tell
        self._stopping = threading.Event()
        self._next: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._next_lag = self._next_telling = self._next_housekeeping = 0.0

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    @property
    def lag(self) -> int:
        """Records that are not read yet, when that was measured last."""
        return sum(max(0, end - self._next.get(place, 0)) for place, end in list(self._ends.items()))

    def run(self) -> None:
        """Read until `stop`.

        Raises:
            BrokerError: Kafka failed for good.
            StageError: the database failed.

        """
        try:
            self._assign()
            while not self._stopping.is_set():
                self._health.beat()
                self._take(self._consumer.consume(_BATCH_RECORDS, _POLL_SECONDS))
                self._look_after()
        finally:
            self._consumer.close()

    def _assign(self) -> None:
        known = self._store.places()
        places = []
        for topic in self._topics:
            found = self._consumer.list_topics(topic, timeout=_ASK_SECONDS).topics[topic]
            if found.error is not None and topic in self._may_lack:
                logger.warning("%s is not read: %s", topic, found.error)
                continue
            if found.error is not None:
                raise BrokerError(
                    f"there is no topic {topic}: {found.error}; `mekiki topics create` makes it"
                )
            for number in found.partitions:
                at = TopicPartition(topic, number)
                low, high = self._consumer.get_watermark_offsets(at, timeout=_ASK_SECONDS)
                begin = known.get((topic, number), OFFSET_BEGINNING)
                at.offset = begin if low <= begin <= high else OFFSET_BEGINNING
                self._next[topic, number] = begin if at.offset == begin and begin >= 0 else low
                self._ends[topic, number] = high
                places.append(at)
        self._consumer.assign(places)

    def _take(self, messages: list[Message]) -> None:
        records, places = [], dict[tuple[str, int], int]()
        for message in messages:
            at = (message.topic() or "", message.partition() or 0)
            if (error := message.error()) is None:
                records.append(input_record(message))
                places[at] = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                places[at] = message.offset() or 0
            elif error.fatal() or not error.retriable():
                raise BrokerError(f"{at[0]} cannot be read: {error}")
        if not places:
            return
        rows = self._read_rows(records)
        moved = {at: offset for at, offset in places.items() if self._next.get(at) != offset}
        if moved:
            for row in rows.deletions:
                self._forget(row["image_id"])
            self._columns.add(self._store.add(rows, moved))
            self._next |= moved
        self._metrics.poll_events.labels("console").inc(len(records))

    def _look_after(self) -> None:
        now = time.monotonic()
        if now >= self._next_lag:
            self._next_lag = now + _LAG_SECONDS
            for topic, number in list(self._ends):
                at = TopicPartition(topic, number)
                try:
                    _, high = self._consumer.get_watermark_offsets(at, cached=True)
                except KafkaException:
                    continue
                self._ends[topic, number] = max(high, self._ends[topic, number])
            if all(self._next[place] >= end for place, end in self._ends.items()):
                self._health.satisfy(CAUGHT_UP)
        if now >= self._next_telling:
            self._next_telling = now + _TELLING_SECONDS
            self._tell(self.lag)
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
            since_ms = int((time.time() - self._retention) * 1000)
            if dropped := self._store.retain(since_ms):
                self._columns.forget(since_ms)
                logger.info("%d verdicts are older than the retention and were dropped", dropped)
