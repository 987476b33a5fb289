"""The score role's loop: poll, submit to the pipeline, collect outcomes, commit.

One thread does all that touches Kafka, so that a commit never meets a rebalance. It polls all the
time, paused while the pipeline is full: slow work never costs the worker its partitions.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rejection import RejectionReason
from worker.errors import MekikiError, StageError
from worker.health import Health
from worker.log import about
from worker.metrics import Metrics
from worker.score.admission import Admission
from worker.score.ledger import Entry, Finished, Ledger, Partition
from worker.score.log_watch import LogWatch
from worker.score.outcome import (
    Outcome,
    Parked,
    PassedOver,
    PassOverReason,
    Rejected,
    Removal,
    Verdict,
    outcome_ids,
    outcome_name,
)
from worker.score.pace import Pace
from worker.score.parsed import Parsed
from worker.score.pipeline import Pipeline
from worker.score.retries import Retries
from worker.score.reviews import Reviews
from worker.settings import ScoreSettings
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.guard import PERMANENT, Guard, raise_if_permanent
from worker.stream.kafka import InputRecord, OutputRecord, input_record
from worker.stream.movement import Movement
from worker.stream.spans import Spans, exemplar
from worker.stream.topic_identity import TopicIdentity
from worker.stream.unreadable import Unreadable
from worker.watchdog import Limit, unlimited

logger = logging.getLogger(__name__)

ASSIGNED = "partitions assigned"
MOVING = "outcomes are committed"
RUNNING = "running"
WITHIN_LIMIT = "rejections within the limit"
STORES_SERVE = "image stores serve"

# What a person does about a halt by the rejection limit.
HALT_ADVICE = (
    "the worker halts and commits nothing. Mend the cause: it probes now and then, and goes on by itself; "
    "a restart probes at once"
)

# How many events a halted worker commits at a probe that fails: its topic drains at the pace of a trickle.
_PROBE_EVENTS = 10

# What only a seller causes says nothing of this worker or of a producer.
_SELLERS = {reason for reason in RejectionReason if reason.startswith("image.")} | {
    RejectionReason.FETCH_NOT_FOUND
}

# A poll for many lasts as long where fewer come, and what is finished meanwhile waits for its end.
_POLL_SECONDS = 0.02
_POLL_RECORDS = 256
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 1.0
_CLOSE_SECONDS = 30.0

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
        movement: Movement,
        retries: Retries,
        identity: TopicIdentity,
        unreadable: Unreadable,
        settings: ScoreSettings,
        metrics: Metrics,
        health: Health,
        limit: Limit = unlimited,
        turn_seconds: float = 300.0,
        spans: Spans | None = None,
    ) -> None:
        self._name = name
        self._consumer = consumer
        self._topic = topic
        self._pipeline = pipeline
        self._publish = publish
        self._delivery = delivery
        self._guard = guard
        self._reviews = reviews
        self._movement = movement
        self._retries = retries
        self._unreadable = unreadable
        self._settings = settings
        self._limit = limit
        self._turn_seconds = turn_seconds
        self._spans = spans or Spans()
        self._metrics = metrics
        self._health = health
        self._ledger = Ledger()
        self._log_watch = LogWatch(consumer, self._ledger, identity, metrics, self._begin_again)
        self._read_to: dict[Partition, int] = {}  # behind what is no record, where that is known
        self._admission = Admission(
            consumer,
            self._ledger,
            pipeline,
            parse,
            settings.max_in_flight,
            metrics,
            self,
        )
        self._stopping = threading.Event()
        self._paused = False
        self._rejudged: list[Entry] | None = None  # what a halted worker judges once more
        self._stores: str | None = None  # why the stores that fail are waited for
        self._assignment_moved = False
        self._assigned = False  # by the group, if only nothing
        self._closing = False
        self._callback_error: Exception | None = None
        self._pace = Pace(settings.commit_interval, settings.max_in_flight)
        self._next_look = 0.0

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
                with self._limit("a turn of the loop", self._turn_seconds):
                    self._turn()
            self._drain()
            self._commit(closing=list(self._ledger.partitions))
            self._guard.raise_if_halted()
        except StageError:
            self._save()
            raise
        finally:
            self._closing = True
            with self._limit("leaving the group", _CLOSE_SECONDS):
                self._consumer.close()
            with self._limit("closing", _CLOSE_SECONDS):
                self._reviews.close()
                self._retries.close()
            self._delivery.close()

    def begun(self, place: Partition, log: str | None) -> bool:
        """See `worker.score.admission.Logs`; what comes back from the retry topic is of no log."""
        return place[0] != self._topic or self._log_watch.begun(place, log)

    def log_of(self, place: Partition) -> str | None:
        """See `worker.score.admission.Logs`."""
        return self._log_watch.log_of(place)

    def _begin_again(self, place: Partition) -> None:
        """The offsets of a partition, as they were, mean nothing any more."""
        self._admission.begin_again(place)
        self._unreadable.forget([TopicPartition(*place)])

    def _turn(self) -> None:
        self._health.beat()
        self._log_watch.start_over_if_recreated()
        self._look_at_stores()
        self._poll()
        self._admit()
        self._collect(0.0)
        self._admit()
        if self._guard.halted:
            self._probe()
        if self._is_commit_due():
            self._commit()
        self._observe()

    def _probe(self) -> None:
        """Halted, judge what was rejected once more, now and then: has the cause passed?

        If it has not, a few events go through all the same: the cause may be in them, and mended behind them.
        """
        if self._rejudged is None:
            if not self._guard.is_probe_due:
                return
            self._rejudged = [
                entry for entry in self._ledger.entries() if _counts(entry.record, entry.outcome)
            ]
            for entry in self._rejudged:
                entry.outcome = None
                self._admission.take(entry)
        if any(entry.is_ours and entry.outcome is None for entry in self._rejudged):
            return
        self._rejudged = None
        judged = [entry for entry in self._ledger.entries() if entry.outcome is not None]
        if not self._guard.probed([_counts(entry.record, entry.outcome) for entry in judged]):
            self._deliver(self._ledger.finished(_PROBE_EVENTS, self._admission.unknown))

    def _poll(self) -> None:
        """Take in what there is room for. While full, poll goes on with every partition paused."""
        self._pause_or_resume()
        self._take_back()
        room = max(1, self._settings.max_in_flight - self._ledger.in_flight)
        began = time.time_ns()
        messages = self._consumer.consume(min(_POLL_RECORDS, room), _POLL_SECONDS)
        if self._callback_error is not None:
            raise self._callback_error
        records = []
        for message in messages:
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._read_to[str(message.topic()), int(message.partition() or 0)] = int(
                        message.offset() or 0
                    )
                    continue
                if not self._unreadable.is_one(message):
                    raise_if_permanent(error, _PERMANENT, "consuming failed")
                continue
            record = input_record(message)
            if self._unreadable.lets_in(record):
                records.append(record)
        for record in self._spans.begin(records, began):
            is_repeat = self._log_watch.read(record)
            entry = self._ledger.track(record)
            if entry is None:
                continue
            if is_repeat:
                entry.outcome = PassedOver(PassOverReason.ALREADY_JUDGED)
            else:
                self._metrics.poll_events.labels(self._name).inc()
                self._admission.take(entry)

    def _take_back(self) -> None:
        """Take in what was parked and is due."""
        if self._paused:
            return
        for record, parked in self._retries.due():
            event = parked and self._spans.begin([parked], time.time_ns())[0]
            entry = self._ledger.track(record, event)
            if entry is None:
                continue
            if event is None:
                entry.outcome = PassedOver(PassOverReason.RETRY_MARK)
            else:
                self._admission.take(entry)

    def _look_at_stores(self) -> None:
        """Where most images are of stores that fail, wait for these, not ready, and say so."""
        before, self._stores = self._stores, self._pipeline.waiting()
        if before is None and self._stores is None:
            return
        self._metrics.fetch_waiting.set(self._stores is not None)
        if self._stores is None:
            self._health.satisfy(STORES_SERVE)
            logger.info("the stores serve again, polling goes on")
        else:
            self._health.withdraw(STORES_SERVE, self._stores)

    def _admit(self) -> None:
        try:
            self._admission.learn()
        except KafkaException as error:
            self._guard.not_delivered(NotDelivered(f"what was committed cannot be read: {error.args[0]}"))
        self._admission.turn(self._commit)

    def _pause_or_resume(self) -> None:
        paused = self._should_pause()
        if paused != self._paused or self._assignment_moved:
            change = self._consumer.pause if paused else self._consumer.resume
            change(self._consumer.assignment())
            self._paused, self._assignment_moved = paused, False
            self._metrics.poll_paused.set(paused)

    def _should_pause(self) -> bool:
        """Pause when full; resume when half empty, since a pause throws away what was prefetched."""
        if self._stopping.is_set() or self._stores is not None:
            return True
        share = 2 if self._paused else 1
        # What was revoked while inside is dropped when it comes out; until then it takes its room.
        events = max(self._ledger.in_flight, self._admission.inside)
        size = max(self._ledger.in_flight_bytes, self._admission.inside_bytes)
        return (
            events >= self._settings.max_in_flight / share
            or size >= self._settings.max_in_flight_bytes / share
        )

    def _collect(self, timeout: float) -> None:
        for completed in self._pipeline.completed(timeout):
            self._admission.came_out(completed)
        self._metrics.commit_in_flight.set(self._ledger.in_flight)

    def _commit(self, closing: Collection[Partition] = ()) -> bool:
        """Make finished outcomes durable and advance the offsets; whether that is done.

        1. Take the unbroken run of finished events of each partition.
        2. Pass over what came back too late, park what its store does not give, or reject it after hours.
        3. Halt, with no outcome committed, if their rejections break the limit.
        4. Let people's words take the place of the policy's decisions.
        5. Turn outcomes into records, and deliver them with the offsets and what stands beside these; it says
           of the partitions `closing` that nothing of them is in flight any more.
        6. Forget what is durable. What was not delivered stays for the next turn.
        """
        self._pace.begun(time.monotonic())
        return self._deliver(self._finished(), closing)

    def _is_commit_due(self) -> bool:
        finished = self._ledger.in_flight - self._admission.inside
        return self._pace.is_due(time.monotonic(), self._pipeline.waiting_for_decoders, finished)

    def _deliver(self, finished: Finished, closing: Collection[Partition] = ()) -> bool:
        offsets = self._admission.offsets(finished.offsets, closing)
        offsets += self._retries.kept_offsets(offsets)
        if not offsets:
            return True
        settled = self._retries.applied(finished.entries)
        rejected = _rejected(settled)
        entries = self._reviews.applied(settled)
        records = [out for record, outcome in entries for out in self._publish(record, outcome)]
        records += self._retries.records()
        try:
            with (
                self._metrics.stage_seconds.labels("commit").time(),
                self._spans.batch("publish", [record for record, _ in entries]),
            ):
                self._delivery.deliver(records, offsets, self._consumer)
        except NotDelivered as error:
            self._guard.not_delivered(error)
            return False
        self._ledger.committed(finished.offsets)
        self._reviews.committed()
        self._retries.committed()
        self._admission.committed(offsets)
        self._guard.delivered(rejected)
        self._count(entries)
        if len(finished.entries) >= self._settings.commit_records:
            self._pace.hurry()
        if finished.entries:
            self._movement.committed()
        return True

    def _finished(self) -> Finished:
        """What may be committed; nothing where that would break the limit, or did."""
        if not self._guard.halted:
            finished = self._ledger.finished(self._settings.commit_records, self._admission.unknown)
            if not finished.entries:
                return finished
            if not self._guard.halts(_rejected(self._retries.applied(finished.entries))):
                return finished
        return Finished([], [])

    def _save(self) -> None:
        """Commit what is finished, as good as it goes: the role ends by a failure of a stage."""
        try:
            self._commit()
        except MekikiError as error:
            logger.warning("what was finished is left uncommitted: %s", error)

    def _count(self, entries: Sequence[tuple[InputRecord, Outcome]]) -> None:
        metrics, now = self._metrics, time.time()
        for record, outcome in entries:
            if record.timestamp_ms > 0 and record.parking is None:
                metrics.commit_latency.observe(max(0.0, now - record.timestamp_ms / 1000), exemplar(record))
            if record.processing is not None:
                self._spans.end(record, outcome_name(outcome), outcome_ids(outcome))
            if isinstance(outcome, Rejected):
                metrics.decide_rejections.labels(outcome.rejection.reason).inc()
                with about(outcome_ids(outcome)):
                    logger.debug("%s/%d/%d is rejected: %s", *_place(record), outcome.rejection)
            elif isinstance(outcome, Parked):
                metrics.retry_parked.labels(outcome.failure.reason).inc()
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
            self._look_at_stores()
            if self._stores is not None and not self._ledger.finished(1).entries:
                break  # the rest waits for stores that fail
            self._poll()
            self._admit()
            self._collect(_POLL_SECONDS)
            self._commit()
        if self._ledger.in_flight:
            logger.warning("stopped with %d events in flight, left uncommitted", self._ledger.in_flight)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._stopping.is_set():
            return  # taking them may wait for an open transaction; the next owner does
        try:
            self._reviews.take(self._consumer, partitions)
            beside = self._retries.take(self._consumer, partitions)
        except Exception as error:  # noqa: BLE001 - raised by _poll: librdkafka must finish its rebalance
            self._callback_error, beside = error, []
        self._ledger.assign([*partitions, *beside])
        self._admission.assign([*partitions, *beside])
        self._log_watch.forget(partitions)
        self._assignment_changed()
        self._assigned = True
        self._health.satisfy(ASSIGNED)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is finished while the partitions are still ours; the new owner does the rest."""
        if not self._closing:
            try:
                self._log_watch.look_now()
                self._collect(0.0)
                self._commit(closing=self._abandon([*partitions, *self._retries.beside(partitions)]))
            except Exception as error:  # noqa: BLE001 - raised by _poll: librdkafka must finish its rebalance
                self._callback_error = error
        self._forget(partitions)

    def _abandon(self, partitions: list[TopicPartition]) -> list[Partition]:
        """Begin nothing more of these partitions; those of which nothing is in the model any more.

        Else an event of theirs could end this process after it has said that nothing of it is in flight.
        """
        self._ledger.abandon(partitions)
        if not self._pipeline.settle(_SETTLE_SECONDS):
            return []
        self._collect(0.0)
        return [(at.topic, at.partition) for at in partitions]

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        logger.warning("%d partitions were lost to the group", len(partitions))
        self._assigned = False
        self._health.withdraw(ASSIGNED, "the group has taken the partitions away")
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        both = [*partitions, *self._retries.forget(partitions)]
        self._ledger.revoke(both)
        self._reviews.forget(partitions)
        self._admission.forget(both)
        self._log_watch.forget(partitions)
        self._unreadable.forget(both)
        for at in partitions:
            self._read_to.pop((at.topic, at.partition), None)
        self._assignment_changed()

    def _assignment_changed(self) -> None:
        self._assignment_moved = True
        self._metrics.poll_assigned.labels(self._name).set(self._ledger.partitions_of(self._topic))

    def _observe(self) -> None:
        """Look once a second whether something waits, in Kafka or here."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        self._metrics.fetch_hosts_down.set(self._pipeline.hosts_down())
        if self._assigned:  # until then nothing waits here, whatever waits in Kafka
            self._movement.observe(self._waiting())

    def _waiting(self) -> int | None:
        """How many records of our partitions have no durable outcome; None where it is not known yet."""
        waiting: int | None = self._ledger.in_flight
        for at in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(at, cached=True)
            # A position is that behind the last record: markers of transactions may follow.
            read_to = max(at.offset, self._read_to.get((at.topic, at.partition), -1))
            if read_to < 0 or high < 0:
                waiting = None
                continue
            self._log_watch.measured(at.topic, at.partition, high)
            if waiting is not None:
                waiting += max(0, high - read_to)
        return waiting


def _place(record: InputRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _rejected(entries: Sequence[tuple[InputRecord, Outcome]]) -> list[bool]:
    """Of each outcome whether it counts against the limit; what comes back later is none yet."""
    mark = PassedOver(PassOverReason.RETRY_MARK)
    return [
        _counts(record, outcome)
        for record, outcome in entries
        if not isinstance(outcome, Parked) and outcome != mark
    ]


def _counts(record: InputRecord, outcome: Outcome | None) -> bool:
    """Whether an outcome is a rejection that may tell of a bad deploy; one after hours of asking does not."""
    if not isinstance(outcome, Rejected) or record.parking is not None:
        return False
    return outcome.rejection.reason not in _SELLERS
