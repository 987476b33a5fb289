"""The index role's loop: poll, apply, acknowledge, build.

The index is a full copy of the embedded topic, so that the role reads every partition by manual
assignment, from the offsets of its generation on, without the group's partition balance. The group
`mekiki-index-<name>` holds how far records were acknowledged and nothing else.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from worker.errors import BrokerError, ConfigurationError
from worker.health import Health
from worker.index.acknowledge import Updates
from worker.index.backend import IndexBackend
from worker.index.resume import LogRange, resume
from worker.index.takeover import Acknowledged
from worker.metrics import Metrics
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.guard import PERMANENT, Guard, raise_if_permanent
from worker.stream.kafka import InputRecord, OutputRecord, input_record
from worker.stream.movement import Movement
from worker.stream.spans import Spans, exemplar
from worker.stream.topic_identity import RECREATED, Answer, TopicIdentity
from worker.stream.unreadable import Unreadable
from worker.watchdog import Limit, unlimited

logger = logging.getLogger(__name__)

# The readiness condition that this role satisfies: all that stood in the log at the start is searchable.
CAUGHT_UP = "index caught up"

# Records that wait are applied and acknowledged.
MOVING = "index records are acknowledged"

# Withdrawn when too many records are rejected.
WITHIN_LIMIT = "index within the rejection limit"


def halt_advice(space: str) -> str:
    """What a person does about a halt by the rejection limit of an index of vectors of `space`."""
    return f"the index of space {space!r} halts and acknowledges nothing. Mend the cause, then restart it"


# librdkafka properties that a consumer needs for this role. An offset that the log does not hold must
# end the process: going on elsewhere would leave a gap that nobody sees.
CONSUMER_PROPERTIES: Mapping[str, str | int | bool] = {
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
}

_BATCH_RECORDS = 500
_POLL_SECONDS = 0.2
_METADATA_SECONDS = 30.0
_METADATA_TIMEOUT = 5.0  # of looking for new partitions, which acknowledgements wait for
_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 1.0
_CLOSE_SECONDS = 30.0

# After these a partition's records would be missing.
_PERMANENT = PERMANENT | {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


class IndexRole:
    """Keeps `backend` equal to `topic`, and publishes one outcome of each record. `name` labels its metrics.

    `run` owns the consumer, the delivery and the backend, and closes them. It gives up after
    `request_timeout` seconds without success from the broker. Where nothing was ever acknowledged under this
    name, `by_others` tells what others have of the partitions. One that `is_silent` publishes nothing, and
    its offsets advance all the same: whoever comes after it acknowledges what comes after them.
    """

    def __init__(
        self,
        *,
        name: str,
        topic: str,
        consumer: Consumer,
        delivery: Delivery,
        backend: IndexBackend,
        updates: Updates,
        guard: Guard,
        identity: TopicIdentity,
        movement: Movement,
        metrics: Metrics,
        health: Health,
        request_timeout: float,
        limit: Limit = unlimited,
        spans: Spans | None = None,
        by_others: Callable[[Sequence[int]], Acknowledged] = lambda _: {},
        is_silent: bool = False,
    ) -> None:
        self._name = name
        self._by_others = by_others
        self._is_silent = is_silent
        self._topic = topic
        self._consumer = consumer
        self._delivery = delivery
        self._backend = backend
        self._updates = updates
        self._guard = guard
        self._identity = identity
        self._movement = movement
        self._unreadable = Unreadable(name, metrics, health)
        self._metrics = metrics
        self._health = health
        self._timeout = request_timeout
        self._limit = limit
        self._spans = spans or Spans()
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._acknowledge_from: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._behind: set[int] = set()
        self._metadata_checked = time.monotonic()
        self._next_look = 0.0

    def stop(self) -> None:
        """End `run` after the batch at hand. May be called from a signal handler or any thread."""
        self._stopping.set()

    def is_caught_up(self) -> bool:
        """Whether all that stood in the log at the start is searchable."""
        return self._caught_up.is_set()

    def run(self) -> None:
        """Index until `stop`.

        Raises:
            BrokerError: Kafka failed for good, or the log was cut while it was read; start again.
            ConfigurationError: the topic does not exist.
            MekikiError: the backend failed for good.
            RejectionLimitExceeded: stopped while halted by the rejection limit.

        """
        with ExitStack() as closing:  # in the opposite order
            closing.callback(self._backend.close)
            closing.callback(self._leave)
            closing.callback(self._delivery.close)
            self._begin()
            while not self._stopping.is_set() and not self._guard.halted:
                self._turn()
            while not self._stopping.wait(_POLL_SECONDS):
                self._health.beat()
        self._guard.raise_if_halted()

    def _leave(self) -> None:
        with self._limit("closing the consumer", _CLOSE_SECONDS):
            self._consumer.close()

    def _begin(self) -> None:
        state = self._log_state()
        if state is None:
            return
        log, committed = state
        by_others = {} if committed or self._is_silent else self._by_others(sorted(log))
        found = resume(self._backend.offsets(), log, committed, by_others)
        if found.lost is not None:
            logger.warning("%s: the index is emptied and rebuilt from the log", found.lost)
            self._backend.clear()
        self._acknowledge_from = found.acknowledge_from
        self._positions = found.start
        self._behind = set(log)
        if by_others:
            self._commit(found.acknowledge_from)
        logger.info(
            "reading %s from %s, %d images indexed", self._topic, found.start, self._backend.size().vectors
        )
        self._assign()

    def _commit(self, offsets: Mapping[int, int]) -> None:
        """What others have acknowledged counts as ours, for who looks at how far we are behind."""
        at = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        logger.info("acknowledging from %s on, where other indexes have come to", dict(offsets))
        try:
            self._consumer.commit(offsets=at, asynchronous=False)
        except KafkaException as error:  # committed with the next acknowledgement
            logger.warning("that is not committed: %s", error.args[0])

    def _start_over(self) -> None:
        """The topic was deleted and made again: the index is that of another log."""
        logger.error("%s was made again: the index is emptied and rebuilt from the log", self._topic)
        self._metrics.poll_resets.labels(RECREATED).inc(len(self._positions))
        state = self._log_state()
        if state is None:
            return
        self._unreadable.forget(TopicPartition(self._topic, number) for number in self._positions)
        self._backend.clear()
        self._positions = {partition: there.begin for partition, there in state[0].items()}
        self._acknowledge_from = dict(self._positions)
        self._behind = set(self._positions)
        self._assign()

    def _log_state(self) -> tuple[dict[int, LogRange], dict[int, int]] | None:
        """What each partition holds, and the acknowledged offsets; None if stopped before the broker told.

        A broker that has just come back refuses for a moment: it does not lead or coordinate yet.
        """
        deadline = time.monotonic() + self._timeout
        while not self._stopping.is_set():
            self._health.beat()
            try:
                partitions = self._partitions(self._timeout)
                log = {partition: self._log_range(partition, self._timeout) for partition in partitions}
                return log, self._committed(partitions)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"the broker does not tell the state of {self._topic}: {error}"
                    ) from error
                logger.warning("asking again for the state of %s: %s", self._topic, error)
                self._stopping.wait(_RETRY_SECONDS)
        return None

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, o) for p, o in self._positions.items()])
        self._metrics.poll_assigned.labels(self._name).set(len(self._positions))

    def _turn(self) -> None:
        self._health.beat()
        if self._identity.look() is Answer.CHANGED:
            self._start_over()
        fresh: list[InputRecord] = []
        began = time.time_ns()
        records, ends = self._poll()
        # Of one partition, and so of one image, the acknowledged records come before the others.
        known: list[InputRecord] = []
        for record in records:
            is_fresh = not self._is_silent and record.offset >= self._acknowledge_from[record.partition]
            (fresh if is_fresh else known).append(record)
        self._updates.replay(known)
        fresh = [*self._spans.begin(fresh, began)]
        with self._spans.batch("index", fresh):
            outcomes = [outcome for outcome in self._updates.apply_all(fresh) if outcome is not None]
        for record in records:
            self._advance(record.partition, record.offset + 1)
        for partition, end in ends.items():
            self._reach_end(partition, end)
        settled = records if self._is_silent else fresh
        if settled and not self._acknowledge(settled, outcomes):
            return  # and build nothing: a generation must hold no unacknowledged record
        if records:
            self._movement.committed()
        self._backend.turn()
        self._add_new_partitions()
        self._measure()

    def _poll(self) -> tuple[list[InputRecord], dict[int, int]]:
        """The records at hand, at most _BATCH_RECORDS, and the ends of partitions that lie behind them.

        Waits a moment for the first one.
        """
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            return [], {}
        messages = [first, *self._consumer.consume(_BATCH_RECORDS - 1, timeout=0)]
        ends: dict[int, int] = {}
        records = [
            record
            for message in messages
            if self._is_record(message, ends) and self._unreadable.lets_in(record := input_record(message))
        ]
        self._metrics.poll_events.labels(self._name).inc(len(records))
        return records, ends

    def _is_record(self, message: Message, ends: dict[int, int]) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            partition, end = message.partition(), message.offset()
            assert partition is not None
            assert end is not None
            ends[partition] = end
        elif not self._unreadable.is_one(message):
            where = f"{self._topic}/{message.partition()}"
            raise_if_permanent(error, _PERMANENT, f"{where} cannot be read any more")
        return False

    def _reach_end(self, partition: int, end: int) -> None:
        self._advance(partition, end)  # beyond the markers of transactions, which no record stands for
        self._behind.discard(partition)
        if not self._behind and not self._caught_up.is_set():
            logger.info("caught up: %d images are searchable", self._backend.size().vectors)
            self._backend.catch_up()
            self._caught_up.set()
            self._health.satisfy(CAUGHT_UP)

    def _advance(self, partition: int, offset: int) -> None:
        if offset > self._positions[partition]:
            self._positions[partition] = offset
            self._backend.advance(partition, offset)

    def _acknowledge(self, records: list[InputRecord], outcomes: list[OutputRecord]) -> bool:
        """Publish `outcomes` and commit the offsets behind `records`; False if stopped or halted before."""
        rejected = [self._updates.is_rejection(outcome) for outcome in outcomes]
        if self._guard.halts(rejected):
            return False
        ends = {record.partition: record.offset + 1 for record in records}
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in ends.items()]
        while True:
            try:
                with self._spans.batch("publish", records):
                    self._delivery.deliver(outcomes, offsets, self._consumer)
            except NotDelivered as error:
                self._guard.not_delivered(error)
                if self._stopping.wait(_RETRY_SECONDS):
                    return False
            else:
                self._guard.delivered(rejected)
                self._observe_latency(records)
                return True

    def _observe_latency(self, records: list[InputRecord]) -> None:
        now = time.time()
        for record in records:
            self._metrics.index_latency.observe(max(0.0, now - record.timestamp_ms / 1000), exemplar(record))
            if record.processing is not None:
                image_id = (record.key or b"").decode("utf-8", "replace")
                self._spans.end(record, "acknowledged", {"image_id": image_id})

    def _add_new_partitions(self) -> None:
        if time.monotonic() - self._metadata_checked < _METADATA_SECONDS:
            return
        self._metadata_checked = time.monotonic()
        try:
            new = set(self._partitions(_METADATA_TIMEOUT)) - set(self._positions)
            log = {partition: self._log_range(partition, _METADATA_TIMEOUT) for partition in new}
        except KafkaException as error:
            logger.warning("the partitions of %s cannot be listed now: %s", self._topic, error)
            return
        if not new:
            return
        logger.info("%s has new partitions: %s", self._topic, sorted(new))
        for partition, there in log.items():
            self._positions[partition] = self._acknowledge_from[partition] = there.begin
        self._assign()

    def _measure(self) -> None:
        size = self._backend.size()
        snapshot = self._backend.snapshot()
        self._metrics.index_vectors.set(size.vectors)
        self._metrics.index_tail.set(size.tail)
        if snapshot is not None:
            self._metrics.index_generation_timestamp.set(snapshot.created_at.timestamp())
        self._observe()

    def _observe(self) -> None:
        """Look once a second how many records wait in Kafka."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        waiting: int | None = 0
        for partition, position in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), cached=True
            )
            waiting = None if waiting is None or high < 0 else waiting + max(0, high - position)
        self._movement.observe(waiting)

    def _partitions(self, timeout: float) -> list[int]:
        topic = self._consumer.list_topics(self._topic, timeout=timeout).topics[self._topic]
        if topic.error is not None and topic.error.code() in {
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
        }:
            raise ConfigurationError(f"topic {self._topic} does not exist: run `mekiki topics create`")
        if topic.error is not None:
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _log_range(self, partition: int, timeout: float) -> LogRange:
        begin, end = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), timeout=timeout
        )
        return LogRange(begin, end)

    def _committed(self, partitions: list[int]) -> dict[int, int]:
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        answers = self._consumer.committed(asked, timeout=self._timeout)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
