"""Webhooks: verdicts that ask for a person, posted to one receiver, at least once and in order.

Each receiver has a consumer group of its own, so that one that is down holds up nothing but itself. The
offset advances once it has taken a message; until then that is sent again after ever longer pauses.
"""

import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from worker.errors import BrokerError
from worker.health import Health
from worker.metrics import Metrics
from worker.webhooks.message import Message
from worker.webhooks.send import Answer, Send

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_COMMIT_SECONDS = 1.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
# A message that the receiver calls wrong is tried so often, and then passed over.
_MOST_REFUSALS = 5


class Webhook:
    """Posts to one receiver; `run` returns after `stop`. `name` stands on metrics and in the log."""

    def __init__(
        self,
        name: str,
        consumer: Consumer,
        topic: str,
        tell: Callable[[bytes | None], Message | None],
        send: Send,
        health: Health,
        metrics: Metrics,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """`tell` makes a message of a record's value, or None where there is nothing to say."""
        self._name = name
        self._consumer = consumer
        self._topic = topic
        self._tell = tell
        self._send = send
        self._health = health
        self._metrics = metrics
        self._first_pause = first_pause
        self._stopping = threading.Event()
        self._lost: set[int] = set()  # partitions that were taken away while a message waits
        self._uncommitted: dict[int, int] = {}
        self._next_commit = 0.0

    def stop(self) -> None:
        """Make `run` return; what was not taken is sent again after a start."""
        self._stopping.set()

    def run(self) -> None:
        """Post until `stop`.

        Raises:
            BrokerError: Kafka failed for good.

        """
        self._consumer.subscribe([self._topic], on_revoke=self._revoked, on_lost=self._gone)
        try:
            while not self._stopping.is_set():
                self._health.beat()
                record = self._consumer.poll(_POLL_SECONDS)
                if record is not None:
                    self._take(record)
                self._commit_in_time()
            self._commit()
        finally:
            self._consumer.close()

    def _take(self, record: Record) -> None:
        if (error := record.error()) is not None:
            if error.fatal() or not error.retriable():
                raise BrokerError(f"{self._topic} cannot be read: {error}")
            return
        message = self._tell(record.value())
        if message is None or self._deliver(message, record.partition() or 0):
            self._uncommitted[record.partition() or 0] = (record.offset() or 0) + 1

    def _deliver(self, message: Message, partition: int) -> bool:
        """Send until it is taken; False where the partition or the role is no longer ours."""
        self._lost.discard(partition)
        pause, refusals = self._first_pause, 0
        while True:
            attempt = self._send(message)
            self._metrics.webhook_deliveries.labels(attempt.answer).inc()
            refusals += attempt.answer is Answer.REFUSED
            if attempt.answer is Answer.DELIVERED or refusals >= _MOST_REFUSALS:
                break
            self._note_failure(attempt.why, pause)
            if not self._wait(max(pause, attempt.wait), partition):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE)
        if refusals >= _MOST_REFUSALS:
            logger.error("%s refuses message %s for good: %s", self._name, message.id, attempt.why)
        self._metrics.webhook_failing.labels(self._name).set(0)
        return True

    def _note_failure(self, why: str, pause: float) -> None:
        if pause == self._first_pause:
            self._metrics.webhook_failing.labels(self._name).set_to_current_time()
        logger.warning("%s: %s; sent again in %g s", self._name, why, pause)

    def _wait(self, seconds: float, partition: int) -> bool:
        """Stay in the group without taking records; False where `partition` was taken away, or it is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._is_over(partition):
            self._health.beat()
            self._consumer.pause(self._consumer.assignment())
            early = self._consumer.poll(min(_POLL_SECONDS, seconds))
            if early is not None and early.error() is None:  # of a partition that was given just now
                self._consumer.seek(_place(early))
            self._commit_in_time()
        self._consumer.resume(self._consumer.assignment())
        return not self._is_over(partition)

    def _is_over(self, partition: int) -> bool:
        return self._stopping.is_set() or partition in self._lost

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit()
        self._gone(_, partitions)

    def _gone(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._lost |= {at.partition for at in partitions}
        for at in partitions:
            self._uncommitted.pop(at.partition, None)

    def _commit_in_time(self) -> None:
        if time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + _COMMIT_SECONDS
            self._commit()

    def _commit(self) -> None:
        if not self._uncommitted:
            return
        offsets = [TopicPartition(self._topic, *place) for place in self._uncommitted.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
            self._uncommitted.clear()
        except KafkaException as error:  # they are committed with the next ones
            logger.warning("%s: offsets are not committed: %s", self._name, error)


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic() or "", record.partition() or 0, record.offset() or 0)
