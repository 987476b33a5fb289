"""Make outcomes durable and advance the offsets, in one of two ways.

`ExactlyOnce`: outcomes and offsets in one Kafka transaction (KIP-98, KIP-447).
`AtLeastOnce`: an idempotent producer, and offsets committed once every outcome is acknowledged;
after a crash in between, outcomes come again with the same event ids.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from worker.errors import BrokerError, MekikiError
from worker.settings import KafkaSettings
from worker.stream.kafka import OutputRecord, Undelivered, create_producer, produce_all
from worker.stream.record_limits import RecordLimits
from worker.watchdog import GRACE, Limit, unlimited

logger = logging.getLogger(__name__)

# The group moved on without us, its coordinator moves, or the broker is away for a while.
_TRY_AGAIN = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._STATE,
    KafkaError._NO_OFFSET,
    KafkaError._ASSIGNMENT_LOST,
}


# A producer that may not go on, as the call says that finds it out first.
_FENCED = {
    KafkaError._FENCED,
    KafkaError._FATAL,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}

# A transaction that failed, or a producer that was fenced, between two calls takes no more records.
_TAKES_NO_MORE = {KafkaError._STATE, KafkaError._FATAL, KafkaError._FENCED}

_LEAST_SECONDS = 1.0
_FLUSH_SECONDS = 0.5


class NotDelivered(MekikiError):
    """This attempt left nothing durable; the same outcomes may be delivered again."""


class Delivery(Protocol):
    """One attempt to make outcomes durable."""

    def deliver(
        self, records: Sequence[OutputRecord], offsets: Sequence[TopicPartition], consumer: Consumer
    ) -> None:
        """Produce `records` and advance `consumer`'s group to `offsets`. Blocks until both are durable.

        Raises:
            NotDelivered: nothing that a reader sees has changed (ExactlyOnce), or the offsets have not
                advanced (AtLeastOnce). Call `poll` on the consumer, then try what it still owns again.
            BrokerError: Kafka failed for good; the process must end.

        """

    def close(self) -> None:
        """Leave nothing pending."""


class ExactlyOnce:
    """Outcomes and offsets in one transaction.

    A process that was stopped in the middle of one for over `patience` seconds, the broker's time-out, finds
    it aborted and its producer fenced: it begins anew, with another that `create` gives. Only where the group
    refuses the offsets of who has left it: else it might take the place of its own successor.
    """

    def __init__(
        self,
        create: Callable[[], Producer],
        timeout: float,
        limit: Limit = unlimited,
        limits: RecordLimits | None = None,
        patience: float = math.inf,
    ) -> None:
        self._create = create
        self._timeout = timeout
        self._limit = limit
        self._limits = limits or RecordLimits()
        self._patience = patience
        self._begun = 0.0
        logger.info("waiting for the brokers, %g s at most", timeout)
        self._producer = self._started()

    def _started(self) -> Producer:
        producer = self._create()
        self._retrying("the transactional producer cannot start", producer.init_transactions)
        return producer

    def deliver(
        self, records: Sequence[OutputRecord], offsets: Sequence[TopicPartition], consumer: Consumer
    ) -> None:
        """See Delivery."""
        failures: list[Undelivered] = []
        try:
            self._begun = time.monotonic()
            self._producer.begin_transaction()
            self._produce(records, failures)
            self._retrying(
                "offsets cannot join the transaction",
                lambda seconds: self._producer.send_offsets_to_transaction(
                    list(offsets), consumer.consumer_group_metadata(), seconds
                ),
            )
            self._raise_if_refused(failures)
            self._retrying("the transaction cannot be committed", self._producer.commit_transaction)
        except KafkaException as error:
            self._abort(error)
            _refuse_permanent(failures, self._limits)
            raise NotDelivered(str(error.args[0])) from error

    def close(self) -> None:
        """See Delivery."""
        try:
            with self._limit("the last flush", self._timeout + GRACE):
                self._producer.flush(self._timeout)
        except KafkaException as error:  # after a fatal error, which `deliver` has raised
            logger.warning("the transactional producer is closed unflushed: %s", error.args[0])

    def _produce(self, records: Sequence[OutputRecord], failures: list[Undelivered]) -> None:
        """Queue the records.

        Raises:
            KafkaException: the transaction has failed meanwhile, and is to be aborted.
            BrokerError: a record cannot be queued at all.

        """
        try:
            produce_all(self._producer, records, failures)
        except BrokerError as error:
            cause = error.__cause__
            if isinstance(cause, KafkaException) and cause.args[0].code() in _TAKES_NO_MORE:
                raise cause from None
            raise

    def _raise_if_refused(self, failures: Sequence[Undelivered]) -> None:
        """Wait for what is produced: behind a record that was refused, others would never be sent.

        Raises:
            KafkaException: a record was.

        """
        deadline = time.monotonic() + self._timeout
        with self._limit("a flush", self._timeout + GRACE):
            while not failures and self._producer.flush(_FLUSH_SECONDS) > 0 and time.monotonic() < deadline:
                pass
        if failures:
            raise KafkaException(failures[0].error)

    def _abort(self, cause: KafkaException) -> None:
        """Leave the transaction behind; who was fenced for its time finds that out here or before."""
        if cause.args[0].fatal():
            self._end_or_begin_anew(cause)
            return
        logger.warning("transaction aborted: %s", cause.args[0])
        try:
            self._retrying("the transaction cannot be aborted", self._producer.abort_transaction)
        except KafkaException as error:
            self._end_or_begin_anew(error)

    def _end_or_begin_anew(self, cause: KafkaException) -> None:
        if not self._has_timed_out(cause.args[0]):
            raise BrokerError(
                f"the transactional producer is finished: {cause.args[0]}. Fenced means that "
                "another process has the same kafka.transactional_id or index.name"
            ) from cause
        logger.warning("the broker has aborted a transaction of over %g s", self._patience)
        self._producer = self._started()

    def _has_timed_out(self, error: KafkaError) -> bool:
        """Whether the broker fenced this producer for its time, and not for another with its id."""
        passed = time.monotonic() - self._begun
        return error.code() in _FENCED and passed > self._patience

    def _retrying(self, what: str, call: Callable[[float], None]) -> None:
        """Repeat `call`, with the seconds that are left, while librdkafka says it may be, for `timeout`."""
        deadline = time.monotonic() + self._timeout
        while True:
            left = max(_LEAST_SECONDS, deadline - time.monotonic())
            try:
                with self._limit(f"to learn whether {what}", left + GRACE):
                    return call(left)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                if time.monotonic() > deadline:
                    raise BrokerError(f"{what} within {self._timeout:g} s: {error.args[0]}") from error
                time.sleep(0.05)


class AtLeastOnce:
    """Outcomes first, then offsets."""

    def __init__(
        self,
        producer: Producer,
        timeout: float,
        limit: Limit = unlimited,
        limits: RecordLimits | None = None,
    ) -> None:
        self._producer = producer
        self._timeout = timeout
        self._limit = limit
        self._limits = limits or RecordLimits()
        # Acknowledged outcomes whose offsets are not committed: they need not be produced again.
        self._acknowledged: Counter[OutputRecord] = Counter()

    def deliver(
        self, records: Sequence[OutputRecord], offsets: Sequence[TopicPartition], consumer: Consumer
    ) -> None:
        """See Delivery. Outcomes that were produced for an attempt that failed later are not repeated."""
        self._produce(records)
        self._commit(offsets, consumer)
        self._acknowledged.clear()

    def close(self) -> None:
        """See Delivery."""
        with self._limit("the last flush", self._timeout + GRACE):
            self._producer.flush(self._timeout)

    def _without_acknowledged(self, records: Sequence[OutputRecord]) -> list[OutputRecord]:
        """What is left to produce, with the order of each key kept.

        Behind a record that is produced, those of its key are produced again: an image judged anew after a
        rebalance must not come to stand behind its deletion of before.
        """
        left = self._acknowledged.copy()
        missing: list[OutputRecord] = []
        renewed: set[tuple[str, bytes | None]] = set()
        for record in records:
            place = (record.topic, record.key)
            if left[record] > 0 and place not in renewed:
                left[record] -= 1
            else:
                missing.append(record)
                renewed.add(place)
        return missing

    def _produce(self, records: Sequence[OutputRecord]) -> None:
        failures: list[Undelivered] = []
        produce_all(self._producer, self._without_acknowledged(records), failures)
        with self._limit("a flush", self._timeout + GRACE):
            left = self._producer.flush(self._timeout)
        if left > 0:
            raise BrokerError(f"outcomes were not acknowledged within {self._timeout:g} s")
        self._acknowledged |= Counter(records) - Counter(failed.record for failed in failures)
        _refuse_permanent(failures, self._limits)
        if failures:
            raise NotDelivered(str(failures[0].error))

    def _commit(self, offsets: Sequence[TopicPartition], consumer: Consumer) -> None:
        try:
            with self._limit("a commit", self._timeout + GRACE):
                committed = consumer.commit(offsets=list(offsets), asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in _TRY_AGAIN or error.args[0].retriable():
                raise NotDelivered(str(error.args[0])) from error
            raise BrokerError(f"offsets cannot be committed: {error.args[0]}") from error
        for partition in committed or ():
            if partition.error is not None:
                raise NotDelivered(f"{partition.topic}/{partition.partition}: {partition.error}")


def _refuse_permanent(failures: Sequence[Undelivered], limits: RecordLimits) -> None:
    """A record that the broker will refuse again ends the process: retrying it would never end.

    One that is too large is made smaller where it can be, and the attempt is repeated.
    """
    too_large = [failed for failed in failures if failed.error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
    if too_large:
        largest = max((failed.record for failed in too_large), key=lambda record: record.size)
        if limits.refused(largest.topic, largest.size):
            raise NotDelivered(f"{largest.topic} takes no record of {largest.size} bytes: it is made smaller")
    for failed in failures:
        if failed.error.code() in {
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.INVALID_RECORD,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
        }:
            raise BrokerError(f"the broker refuses a record for {failed.record.topic}: {failed.error}")


def create_delivery(
    settings: KafkaSettings,
    delivery: str,
    transactional_id: str,
    limit: Limit = unlimited,
    limits: RecordLimits | None = None,
    *,
    in_group: bool = False,
) -> Delivery:
    """The delivery that the settings ask for: `exactly_once` or `at_least_once`.

    `limit` ends the process where librdkafka does not return. `in_group`: offsets are those of a member of a
    consumer group, whose coordinator refuses them once it has left.

    Raises:
        BrokerError: no broker answers.

    """
    if delivery == "at_least_once":
        return AtLeastOnce(create_producer(settings, {}), settings.request_timeout, limit, limits)
    properties: dict[str, str | int | bool] = {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": int(settings.transaction_timeout * 1000),
        # Without it send_offsets_to_transaction never returns once every broker was away for a moment
        # (librdkafka issue 5511, open in 2.16).
        "metadata.recovery.strategy": "none",
    }
    create = partial(create_producer, settings, properties)
    try:
        patience = settings.transaction_timeout if in_group else math.inf
        return ExactlyOnce(create, settings.request_timeout, limit, limits, patience)
    except (KafkaException, BrokerError) as error:
        raise BrokerError(f"{settings.bootstrap_servers}: {error.args[0]}") from error
