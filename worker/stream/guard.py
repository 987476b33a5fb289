"""What every loop guards against: errors that stay, a flood of rejections, a broker that takes nothing."""

import logging
import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

from worker.errors import BrokerError, RejectionLimitExceeded
from worker.health import Health
from worker.metrics import Metrics
from worker.stream.delivery import NotDelivered
from worker.stream.limit import RejectionLimit

logger = logging.getLogger(__name__)

# Consumer errors that need a person, whatever is read. librdkafka goes on by itself after most others.
PERMANENT = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)


def raise_if_permanent(error: KafkaError, permanent: frozenset[int], failed: str) -> None:
    """Log a consumer's `error`, or end the role by it if it is fatal or its code one of `permanent`.

    `failed` begins the sentence: what cannot go on.

    Raises:
        BrokerError: waiting would not mend it.

    """
    if error.fatal() or error.code() in permanent:
        raise BrokerError(
            f"{failed}: {error}. `mekiki check` looks at the broker, the topics and the rights"
        ) from KafkaException(error)
    logger.warning("consuming: %s", error)


def turn_seconds(request_timeout: float) -> float:
    """How long one turn of a loop, or one of its closings, may take in all, in seconds.

    A turn may begin, send, commit and abort a transaction, each of which may take `request_timeout`.
    """
    return 4 * request_timeout + 60.0


class Guard:
    """Counts one loop's deliveries, halts it by the rejection limit, and ends it when nothing gets through.

    Used from the loop's thread alone. Never blocks; it delivers nothing itself.
    """

    def __init__(
        self,
        *,
        role: str,
        limit: RejectionLimit,
        give_up_after: float,
        condition: str,
        advice: str,
        metrics: Metrics,
        health: Health,
    ) -> None:
        """Guard the loop of `role`.

        `give_up_after` is in seconds. A halt withdraws the readiness `condition`; `advice` ends the sentence
        that says why.
        """
        self._role = role
        self._limit = limit
        self._give_up_after = give_up_after
        self._condition = condition
        self._advice = advice
        self._metrics = metrics
        self._health = health
        self._undelivered_since: float | None = None
        self._halted: str | None = None
        self._pause = 0.0
        self._probe_at = 0.0

    @property
    def halted(self) -> bool:
        """Whether the loop must commit nothing, but for what it probes with."""
        return self._halted is not None

    @property
    def is_probe_due(self) -> bool:
        """Whether it is time to see if the cause of the halt has passed."""
        return self.halted and time.monotonic() >= self._probe_at

    def probed(self, rejected: Sequence[bool]) -> bool:
        """Whether what is in flight (True: rejected), judged once more, keeps to the limit.

        Then the halt ends; otherwise the next probe is due after a longer pause.
        """
        self._limit.forget()
        if self._limit.is_broken_by(rejected):
            self._wait_for_probe()
            return False
        logger.warning("rejections keep to the limit again: going on")
        self._halted, self._pause = None, 0.0
        self._metrics.commit_halted.set(0)
        self._health.satisfy(self._condition)
        return True

    def _wait_for_probe(self) -> None:
        self._pause = self._limit.next_pause(self._pause)
        self._probe_at = time.monotonic() + self._pause

    def halts(self, rejected: Sequence[bool]) -> bool:
        """Whether these outcomes (True: rejected) halt the loop before they are delivered. Counts nothing.

        A halted loop stays alive and not ready, with nothing committed: ending instead would let a
        restart policy commit a few rejections at each start.
        """
        if self.halted:
            return True
        if (broken := self._limit.exceeded_by(rejected)) is None:
            return False
        self._wait_for_probe()
        self._halted = f"{broken}; {self._advice}"
        logger.error("%s", self._halted)
        self._metrics.commit_halted.set(1)
        self._health.withdraw(self._condition, self._halted)
        return True

    def raise_if_halted(self) -> None:
        """End a loop that was stopped while it was halted by a failure.

        Raises:
            RejectionLimitExceeded: it was.

        """
        if self._halted is not None:
            raise RejectionLimitExceeded(self._halted)

    def delivered(self, rejected: Sequence[bool]) -> None:
        """Count these outcomes (True: rejected), which are durable with their offsets; there may be none."""
        self._undelivered_since = None
        self._metrics.commit_transactions.labels(self._role, "success").inc()
        if not rejected:
            return  # a process that dies and starts and dies commits no outcome either
        self._limit.add(rejected)
        self._metrics.commit_outcomes.labels(self._role).inc(len(rejected))
        self._metrics.commit_last.labels(self._role).set(time.time())

    def not_delivered(self, error: NotDelivered) -> None:
        """Count an attempt that left nothing durable, and that the loop will repeat.

        Raises:
            BrokerError: nothing was delivered for `give_up_after` seconds.

        """
        self._metrics.commit_transactions.labels(self._role, "failure").inc()
        logger.warning("not delivered, will be tried again: %s", error)
        now = time.monotonic()
        if self._undelivered_since is None:
            self._undelivered_since = now
        if now - self._undelivered_since > self._give_up_after:
            raise BrokerError(f"nothing could be delivered for {self._give_up_after:g} s: {error}") from error
