"""How far a group is behind, asked of Kafka: of partitions that nobody reads as well."""

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from worker.metrics import Metrics

logger = logging.getLogger(__name__)

_ASK_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_FEW = 16  # records that may be markers of transactions alone

# librdkafka properties of a LagProbe's consumers, which join no group and commit nothing: of the one that it
# asks for offsets, which an open transaction must not hold up, and of the one that it looks at records with.
ASKING: Mapping[str, str] = {"isolation.level": "read_uncommitted"}
LOOKING: Mapping[str, str | int | bool] = {
    "enable.partition.eof": True,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
}


class LagProbe:
    """Measures every partition of `topic` for `group` every `interval` seconds, in a thread of its own.

    What lies behind the committed offset is counted by offsets; where little does, or none of it moves, it is
    looked at, since markers of transactions are no records. Measures go when Kafka gives none any more.
    Closes both consumers at the end; use as a context manager.
    """

    def __init__(
        self,
        admin: AdminClient,
        reader: Consumer,
        asker: Consumer,
        topic: str,
        group: str,
        metrics: Metrics,
        interval: float = 5.0,
    ) -> None:
        self._admin = admin
        self._reader = reader
        self._asker = asker
        self._topic = topic
        self._group = group
        self._metrics = metrics
        self._interval = interval
        self._shown: set[int] = set()  # partitions
        self._looked: dict[int, tuple[int, int, int]] = {}  # committed, end, and the lag that a look gave
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lag of {group}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_LOOK_SECONDS)

    def measure(self) -> dict[int, int]:
        """Records that `group` has not committed, by partition.

        Raises:
            KafkaException: Kafka does not tell.
            TimeoutError: as that.

        """
        partitions = self._partitions()
        committed = self._committed(partitions)
        ends = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        fresh = [number for number in partitions if committed[number] < 0]
        begins = self._offsets(fresh, OffsetSpec.earliest()) if fresh else {}  # type: ignore[no-untyped-call]
        lags: dict[int, int] = {}
        to_look_at: dict[int, int] = {}
        for number in partitions:
            at = committed[number] if committed[number] >= 0 else begins[number]
            before = self._looked.get(number)
            lags[number] = max(0, ends[number] - at)
            if before is not None and before[:2] == (at, ends[number]):
                lags[number] = before[2]
            elif lags[number] and (lags[number] <= _FEW or (before is not None and before[0] == at)):
                to_look_at[number] = at
            else:
                self._looked[number] = (at, ends[number], lags[number])
        for number, first in self._first_records(to_look_at).items():
            lags[number] = max(0, ends[number] - first)
            self._looked[number] = (to_look_at[number], ends[number], lags[number])
        for number in partitions:
            labels = (self._topic, str(number))
            self._metrics.poll_committed.labels(*labels).set(max(0, committed[number]))
            self._metrics.poll_lag.labels(*labels).set(lags[number])
        return lags

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self._interval):
            try:
                lags = self.measure()
            except Exception as error:  # noqa: BLE001 - whatever it is, lag is measured again
                level = logging.DEBUG if isinstance(error, KafkaException | TimeoutError) else logging.ERROR
                logger.log(level, "the lag of %s is not known: %r", self._group, error)
                if time.monotonic() - last > 2 * self._interval + _ASK_SECONDS:
                    self._forget(self._shown)  # an old measure would be taken for a new one
            else:
                last = time.monotonic()
                self._forget(self._shown - lags.keys())
                self._shown = set(lags)
        self._reader.close()
        self._asker.close()

    def _forget(self, numbers: set[int]) -> None:
        for number in numbers:
            self._metrics.poll_lag.remove(self._topic, str(number))
            self._metrics.poll_committed.remove(self._topic, str(number))
        self._shown = self._shown - numbers

    def _partitions(self) -> list[int]:
        topic = self._admin.list_topics(self._topic, timeout=_ASK_SECONDS).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _committed(self, partitions: list[int]) -> dict[int, int]:
        # Never by the admin client: where the coordinator has moved, its ListConsumerGroupOffsets ends the
        # process with a segmentation fault (librdkafka to 2.16, rd_kafka_cgrp_op without a group).
        asked = [TopicPartition(self._topic, number) for number in partitions]
        return {at.partition: at.offset for at in self._asker.committed(asked, timeout=_ASK_SECONDS)}

    def _offsets(self, partitions: list[int], which: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(self._topic, number): which for number in partitions}
        answers = self._admin.list_offsets(asked, request_timeout=_ASK_SECONDS)
        return {at.partition: answer.result(_ASK_SECONDS).offset for at, answer in answers.items()}

    def _first_records(self, offsets: dict[int, int]) -> dict[int, int]:
        """The offset of the first record from each of `offsets` on, or where the log ends for readers."""
        if not offsets:
            return {}
        self._reader.assign([TopicPartition(self._topic, number, at) for number, at in offsets.items()])
        found: dict[int, int] = {}
        deadline = time.monotonic() + _LOOK_SECONDS
        while len(found) < len(offsets) and time.monotonic() < deadline:
            for message in self._reader.consume(100, 0.1):
                error, number, at = message.error(), message.partition(), message.offset()
                if (error is None or error.code() == KafkaError._PARTITION_EOF) and number in offsets:
                    found.setdefault(number, at if at is not None else offsets[number])
        self._reader.unassign()
        return found
