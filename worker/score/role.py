"""The score role's loop: poll, submit to the pipeline, collect outcomes, commit.

One thread does all that touches Kafka, so that a commit never meets a rebalance. It polls all the
time, paused while the pipeline is full: slow work never costs the worker its partitions.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Consumer, KafkaError, TopicPartition

from worker.health import Health
from worker.metrics import Metrics
from worker.score.ledger import Entry, Ledger
from worker.score.log_watch import LogWatch
from worker.score.outcome import Outcome, PassedOver, PassOverReason, Rejected, Removal, Several, Verdict
from worker.score.parsed import Parsed
from worker.score.pipeline import Pipeline
from worker.score.reviews import Reviews
from worker.settings import ScoreSettings
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.guard import PERMANENT, Guard, raise_if_permanent
from worker.stream.kafka import InputRecord, OutputRecord, input_record
from worker.stream.topic_identity import TopicIdentity

logger = logging.getLogger(__name__)

ASSIGNED = "partitions assigned"
RUNNING = "running"
WITHIN_LIMIT = "rejections within the limit"

# What a person does about a halt by the rejection limit.
HALT_ADVICE = "the worker halts and commits nothing. Mend the cause, then restart it"

_POLL_SECONDS = 0.05
_POLL_RECORDS = 256
_LAG_INTERVAL_SECONDS = 1.0

_PERMANENT = PERMANENT | {KafkaError._AUTHENTICATION, KafkaError._FATAL}


class ScoreRole:
    """Takes its parts as arguments; `run` returns after `stop`, or raises. `name` labels its metrics."""

    def __init__(
        self,
        *,
        name: str,
        consumer: Consumer,
        topic: str,
        pipeline: Pipeline[Entry],
        parse: Callable[[InputRecord], Parsed],
        publish: Callable[[InputRecord, Outcome], list[OutputRecord]],
        delivery: Delivery,
        guard: Guard,
        reviews: Reviews,
        identity: TopicIdentity,
        settings: ScoreSettings,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._name = name
        self._consumer = consumer
        self._topic = topic
        self._pipeline = pipeline
        self._parse = parse
        self._publish = publish
        self._delivery = delivery
        self._guard = guard
        self._reviews = reviews
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._ledger = Ledger()
        self._log_watch = LogWatch(consumer, self._ledger, identity, metrics)
        self._inside = 0  # events in the pipeline, those of revoked partitions among them, and their bytes
        self._inside_bytes = 0
        self._parts: deque[Entry] = deque()  # events of records of several that the pipeline has no room for
        self._stopping = threading.Event()
        self._paused = False
        self._assignment_moved = False
        self._closing = False
        self._callback_error: Exception | None = None
        self._next_commit = 0.0
        self._next_lag = 0.0

    def stop(self) -> None:
        """Drain and return from `run`. Safe in a signal handler and from any thread."""
        self._stopping.set()
        self._health.withdraw(RUNNING, "stopping")

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            StageError: a stage of ours failed; nothing of it was committed.
            BrokerError: Kafka failed for good.
            RejectionLimitExceeded: stopped while halted by the rejection limit.

        """
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not self._stopping.is_set():
                self._turn()
            self._drain()
            self._guard.raise_if_halted()
        finally:
            self._closing = True
            self._consumer.close()
            self._reviews.close()
            self._delivery.close()

    def _turn(self) -> None:
        self._health.beat()
        self._log_watch.start_over_if_recreated()
        self._poll()
        self._collect(0.0)
        if time.monotonic() >= self._next_commit:
            self._commit()
        self._observe_lag()

    def _poll(self) -> None:
        """Take in what there is room for. While full, poll goes on with every partition paused."""
        self._pause_or_resume()
        messages = self._consumer.consume(_POLL_RECORDS, _POLL_SECONDS)
        if self._callback_error is not None:
            raise self._callback_error
        for message in messages:
            if (error := message.error()) is not None:
                raise_if_permanent(error, _PERMANENT, "consuming failed")
                continue
            record = input_record(message)
            is_repeat = self._log_watch.read(record)
            entry = self._ledger.track(record)
            if entry is None:
                continue
            if is_repeat:
                entry.outcome = PassedOver(PassOverReason.ALREADY_JUDGED)
            else:
                self._metrics.poll_events.labels(self._name).inc()
                self._submit(entry)

    def _submit(self, entry: Entry) -> None:
        self._inside += 1
        self._inside_bytes += entry.record.size
        self._pipeline.submit(entry, partial(self._parse, entry.record))

    def _pause_or_resume(self) -> None:
        paused = self._should_pause()
        if paused != self._paused or self._assignment_moved:
            change = self._consumer.pause if paused else self._consumer.resume
            change(self._consumer.assignment())
            self._paused, self._assignment_moved = paused, False
            self._metrics.poll_paused.set(paused)

    def _should_pause(self) -> bool:
        """Pause when full; resume when half empty, since a pause throws away what was prefetched."""
        if self._guard.halted or self._stopping.is_set():
            return True
        share = 2 if self._paused else 1
        # What was revoked while inside is dropped when it comes out; until then it takes its room.
        events = max(self._ledger.in_flight, self._inside)
        size = max(self._ledger.in_flight_bytes, self._inside_bytes)
        return (
            events >= self._settings.max_in_flight / share
            or size >= self._settings.max_in_flight_bytes / share
        )

    def _collect(self, timeout: float) -> None:
        for completed in self._pipeline.completed(timeout):
            entry, outcome = completed.ticket, completed.outcome
            self._inside -= 1
            self._inside_bytes -= entry.record.size
            if isinstance(outcome, Several):
                self._parts.extend(self._ledger.split(entry, outcome.values))
            else:
                entry.outcome = outcome
        while self._parts and self._inside < self._settings.max_in_flight:
            if (part := self._parts.popleft()).is_ours:
                self._submit(part)
        self._metrics.commit_in_flight.set(self._ledger.in_flight)

    def _commit(self) -> None:
        """Make finished outcomes durable and advance the offsets.

        1. Take the unbroken run of finished events of each partition.
        2. Halt, with nothing committed, if their rejections break the limit.
        3. Let people's words take the place of the policy's decisions.
        4. Turn outcomes into records, and deliver them with the offsets.
        5. Forget what is durable. What was not delivered stays for the next turn.
        """
        self._next_commit = time.monotonic() + self._settings.commit_interval
        finished = self._ledger.finished(self._settings.commit_records)
        if not finished.entries or self._guard.halted:
            return
        rejected = [isinstance(outcome, Rejected) for _, outcome in finished.entries]
        if self._guard.halts(rejected):
            return
        entries = self._reviews.applied(finished.entries)
        records = [out for record, outcome in entries for out in self._publish(record, outcome)]
        try:
            with self._metrics.stage_seconds.labels("commit").time():
                self._delivery.deliver(records, finished.offsets, self._consumer)
        except NotDelivered as error:
            self._guard.not_delivered(error)
            return
        self._ledger.committed(finished.offsets)
        self._reviews.committed()
        self._guard.delivered(rejected)
        self._count(entries)
        if len(finished.entries) >= self._settings.commit_records:
            self._next_commit = 0.0  # there is more

    def _count(self, entries: Sequence[tuple[InputRecord, Outcome]]) -> None:
        metrics, now = self._metrics, time.time()
        for record, outcome in entries:
            if record.timestamp_ms > 0:
                metrics.commit_latency.observe(max(0.0, now - record.timestamp_ms / 1000))
            if isinstance(outcome, Rejected):
                metrics.decide_rejections.labels(outcome.rejection.reason).inc()
            elif isinstance(outcome, Removal):
                metrics.decide_removals.inc()
            elif isinstance(outcome, Verdict):
                if outcome.review is not None:
                    metrics.decide_reviewed.labels(outcome.decision).inc()
            else:
                metrics.decide_passed_over.labels(outcome.reason).inc()

    def _drain(self) -> None:
        """Finish and commit what is in flight, within the drain budget; the rest stays uncommitted."""
        deadline = time.monotonic() + self._settings.drain_timeout
        while self._ledger.in_flight and not self._guard.halted and time.monotonic() < deadline:
            self._health.beat()
            self._poll()
            self._collect(_POLL_SECONDS)
            self._commit()
        if self._ledger.in_flight:
            logger.warning("stopped with %d events in flight, left uncommitted", self._ledger.in_flight)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._reviews.take(self._consumer, partitions)
        except Exception as error:  # noqa: BLE001 - raised by _poll: librdkafka must finish its rebalance
            self._callback_error = error
        self._ledger.assign(partitions)
        self._log_watch.forget(partitions)
        self._assignment_changed()
        self._health.satisfy(ASSIGNED)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is finished while the partitions are still ours; the new owner does the rest."""
        if not self._closing:
            try:
                self._collect(0.0)
                self._commit()
            except Exception as error:  # noqa: BLE001 - raised by _poll: librdkafka must finish its rebalance
                self._callback_error = error
        self._forget(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        logger.warning("%d partitions were lost to the group", len(partitions))
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        self._ledger.revoke(partitions)
        self._reviews.forget(partitions)
        self._log_watch.forget(partitions)
        self._metrics.poll_lag.clear()
        self._assignment_changed()

    def _assignment_changed(self) -> None:
        self._assignment_moved = True
        self._metrics.poll_assigned.labels(self._name).set(self._ledger.partition_count)

    def _observe_lag(self) -> None:
        if time.monotonic() < self._next_lag:
            return
        self._next_lag = time.monotonic() + _LAG_INTERVAL_SECONDS
        for at in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(at, cached=True)
            if at.offset >= 0 and high >= 0:
                self._log_watch.measured(at.topic, at.partition, high)
                waiting = self._ledger.waiting(at.topic, at.partition)
                self._metrics.poll_lag.labels(at.topic, str(at.partition)).set(high - at.offset + waiting)
