"""Re-embedding: the embedded topic once more in another space, from its beginning on and as it grows.

What is searchable is what the score role says: a record of the embedded topic gives one of the other topic,
in the order of its partition. No verdict is made and none is published. Of an image that has several records
in a batch the last one counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.events import ImageEmbedded, ImageReference, InputPosition, uploaded_again
from worker.errors import StageError
from worker.health import Health
from worker.metrics import REEMBED_RESULTS, Metrics
from worker.reembed.target import Target, read_embedded
from worker.score.outcome import Outcome, Parked, Rejected, Verdict
from worker.score.pipeline import Completed, Pipeline
from worker.stream.delivery import Delivery, NotDelivered
from worker.stream.guard import PERMANENT, Guard, raise_if_permanent
from worker.stream.kafka import InputRecord, OutputRecord, input_record

logger = logging.getLogger(__name__)

ASSIGNED = "partitions are assigned"
STORES_SERVE = "image stores serve"

_POLL_SECONDS = 0.2
_COLLECT_SECONDS = 0.1
_STAY_SECONDS = 1.0
_RETRY_SECONDS = 0.5
# After these an image whose store fails is given up.
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)

_PERMANENT = PERMANENT | {KafkaError._UNKNOWN_TOPIC}


@dataclass(eq=False)
class Moving:
    """A vector under way: the record that holds it, and what has become of it."""

    record: InputRecord
    event: ImageEmbedded
    reference: ImageReference
    outcome: Outcome | None = None
    attempts: int = 0
    due: float = 0.0


@dataclass(frozen=True)
class ReembedLimits:
    """Most records that go together, and images that are fetched in a second; None: as it comes."""

    batch: int
    images_per_second: float | None


class Reembed:
    """Reads `topic` as one of a consumer group, and keeps the topic of `target` equal to it.

    `references` says where images are, by the places of their uploads. `run` closes consumer and delivery.
    """

    def __init__(
        self,
        *,
        consumer: Consumer,
        topic: str,
        delivery: Delivery,
        pipeline: Pipeline[Moving],
        references: Callable[[Iterable[InputPosition]], dict[InputPosition, ImageReference]],
        target: Target,
        limits: ReembedLimits,
        guard: Guard,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._delivery = delivery
        self._pipeline = pipeline
        self._references = references
        self._target = target
        self._limits = limits
        self._guard = guard
        self._metrics = metrics
        self._health = health
        self._stopping = threading.Event()
        self._lost_some = False  # partitions were taken away since the batch was read
        # Where partitions end, beyond the markers of transactions; to be committed with what lies before.
        self._ends: dict[int, int] = {}
        self._next_stay = 0.0
        for result in REEMBED_RESULTS:  # shown from the start, as 0
            metrics.reembed_images.labels(result)

    def stop(self) -> None:
        """Make `run` return; what is under way is done again after a start."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            BrokerError: Kafka failed for good.
            StageError: a stage failed by our own fault, or hangs.

        """
        with ExitStack() as closing:
            closing.callback(self._consumer.close)
            closing.callback(self._delivery.close)
            self._consumer.subscribe(
                [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            while not self._stopping.is_set():
                self._turn()

    def _assigned(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._health.satisfy(ASSIGNED)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._lost_some = True
        for at in partitions:
            self._ends.pop(at.partition, None)

    def _turn(self) -> None:
        """One batch: all of it is durable with its offsets, or none, and it is read again."""
        self._health.beat()
        records = self._poll()
        self._lost_some = False
        if not records and not self._ends:
            return
        began = time.monotonic()
        latest = {record.key: record for record in records if record.key}
        made = self._made(list(latest.values()))
        if made is None or not self._deliver([record for record, _ in made], records):
            self._read_again(records)
            return
        for _, result in made:
            self._metrics.reembed_images.labels(result).inc()
        self._keep_to_rate(sum(result == "embedded" for _, result in made), began)

    def _poll(self) -> list[InputRecord]:
        records = []
        for message in self._consumer.consume(self._limits.batch, _POLL_SECONDS):
            if (error := message.error()) is None:
                records.append(input_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends[message.partition() or 0] = message.offset() or 0
            else:
                raise_if_permanent(error, _PERMANENT, f"{self._topic} cannot be read")
        return records

    def _made(self, records: Sequence[InputRecord]) -> list[tuple[OutputRecord, str]] | None:
        """What comes of each record, and in a word; None where it is over before."""
        events = {record: event for record in records if (event := read_embedded(record)) is not None}
        foreign = {record: event for record, event in events.items() if event.space != self._target.space}
        found = self._references(event.input for event in foreign.values())
        moving = {
            record: Moving(record, event, found[event.input])
            for record, event in foreign.items()
            if event.input in found
        }
        if not self._embed(list(moving.values())):
            return None
        return [self._one(record, events.get(record), moving.get(record)) for record in records]

    def _one(
        self, record: InputRecord, event: ImageEmbedded | None, moving: Moving | None
    ) -> tuple[OutputRecord, str]:
        if event is not None and event.space == self._target.space:
            return self._target.copied(record, event), "copied"
        if moving is not None and (verdict := _same_image(moving)) is not None:
            assert verdict.embedding is not None, "the bundle has an embedding"
            made = self._target.moved(record, moving.event, verdict.embedding, verdict.copy_vector)
            return made, "embedded"
        if record.value is None:
            return self._target.removed(record), "deleted"
        result, why = ("unreadable", "") if event is None else _why_not(moving)
        key = (record.key or b"").decode("utf-8", "replace")
        logger.warning("image %r is not in space %r: %s %s", key, self._target.space, result, why)
        return self._target.removed(record, why or result), result

    def _embed(self, moving: Sequence[Moving]) -> bool:
        """Judge all of `moving` for their vectors; False where it is over before."""
        waiting = set(moving)
        for each in moving:
            self._submit(each)
        while waiting:
            if self._stopping.is_set() or self._lost_some:
                return False
            for completed in self._pipeline.completed(_COLLECT_SECONDS):
                self._came_out(completed)
            now = time.monotonic()
            for each in [each for each in waiting if isinstance(each.outcome, Parked) and now >= each.due]:
                if each.attempts <= len(_PAUSES):
                    self._submit(each)
            waiting = {each for each in waiting if self._is_under_way(each)}
            self._stay()
        return True

    def _is_under_way(self, moving: Moving) -> bool:
        tried = moving.attempts > len(_PAUSES)
        return moving.outcome is None or (isinstance(moving.outcome, Parked) and not tried)

    def _submit(self, moving: Moving) -> None:
        moving.outcome, moving.attempts = None, moving.attempts + 1
        self._pipeline.submit(
            moving, partial(uploaded_again, moving.event, moving.reference), is_new=moving.attempts == 1
        )

    def _came_out(self, completed: Completed[Moving]) -> None:
        moving, outcome = completed.ticket, completed.outcome
        if not isinstance(outcome, Verdict | Rejected | Parked):
            raise StageError(f"an image came out of the stages as {type(outcome).__name__}")
        moving.outcome = outcome
        moving.due = time.monotonic() + _PAUSES[min(moving.attempts, len(_PAUSES)) - 1]

    def _stay(self) -> None:
        """Stay in the group without taking records, alive, and ready as far as the stores are."""
        self._health.beat()
        if (now := time.monotonic()) < self._next_stay:
            return
        self._next_stay = now + _STAY_SECONDS
        if (why := self._pipeline.waiting()) is None:
            self._health.satisfy(STORES_SERVE)
        else:
            self._health.withdraw(STORES_SERVE, why)
        self._consumer.pause(self._consumer.assignment())
        early = self._consumer.poll(0)
        if early is not None and early.error() is None:  # of a partition that was given just now
            self._seek(early.topic() or "", early.partition() or 0, early.offset() or 0)
        self._consumer.resume(self._consumer.assignment())

    def _deliver(self, made: list[OutputRecord], records: Sequence[InputRecord]) -> bool:
        ends = {record.partition: record.offset + 1 for record in records}
        for partition, end in self._ends.items():
            ends[partition] = max(end, ends.get(partition, 0))
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in ends.items()]
        try:
            self._delivery.deliver(made, offsets, self._consumer)
        except NotDelivered as error:
            self._guard.not_delivered(error)
            self._stopping.wait(_RETRY_SECONDS)
            return False
        self._guard.delivered([False] * len(made))
        self._ends.clear()
        return True

    def _read_again(self, records: Sequence[InputRecord]) -> None:
        first: dict[int, int] = {}
        for record in records:
            first.setdefault(record.partition, record.offset)
        for partition, offset in first.items():
            self._ends.pop(partition, None)
            self._seek(self._topic, partition, offset)

    def _seek(self, topic: str, partition: int, offset: int) -> None:
        with suppress(KafkaException):  # it is not ours any more
            self._consumer.seek(TopicPartition(topic, partition, offset))

    def _keep_to_rate(self, images: int, began: float) -> None:
        rate = self._limits.images_per_second
        until = began + images / rate if rate else began
        while time.monotonic() < until and not self._stopping.wait(
            min(0.2, max(0.0, until - time.monotonic()))
        ):
            self._stay()


def _same_image(moving: Moving) -> Verdict | None:
    """What the bundle says of the image that was judged; None where another is there now, or none."""
    outcome = moving.outcome
    is_same = isinstance(outcome, Verdict) and outcome.image_sha256 == moving.event.image_sha256
    return outcome if isinstance(outcome, Verdict) and is_same else None


def _why_not(moving: Moving | None) -> tuple[str, str]:
    """Why an image has no vector in the other space: in a word, and the reason of what failed."""
    if moving is None:
        return "upload_gone", ""
    if isinstance(moving.outcome, Parked):
        return "store_failed", moving.outcome.failure.reason
    if isinstance(moving.outcome, Rejected):
        return "rejected", moving.outcome.rejection.reason
    return "changed", ""  # nobody has judged what is there now
