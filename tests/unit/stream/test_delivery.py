"""At least once: what was acknowledged before a failed commit is not repeated, and order holds by key."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.errors import BrokerError
from worker.stream.delivery import AtLeastOnce, ExactlyOnce, NotDelivered
from worker.stream.kafka import OutputRecord
from worker.watchdog import Watchdog


class _Producer:
    """Acknowledges everything at once."""

    def __init__(self) -> None:
        self.produced: list[OutputRecord] = []

    def produce(self, topic: str, *, key: bytes, value: bytes | None, **_: Any) -> None:
        self.produced.append(OutputRecord(topic, key, value))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return 0


class _Consumer:
    """Fails the commits that `failing` says."""

    def __init__(self, failing: Callable[[], bool]) -> None:
        self._failing = failing

    def commit(self, **_: Any) -> list[Any]:
        if self._failing():
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        return []


def deliver(*attempts: list[OutputRecord]) -> list[OutputRecord]:
    """All that is produced, when the commit of each attempt but the last fails."""
    producer, left = _Producer(), list(attempts)
    delivery = AtLeastOnce(producer, 1.0)  # type: ignore[arg-type]
    consumer: Any = _Consumer(lambda: bool(left))
    while len(left) > 1:
        with pytest.raises(NotDelivered):
            delivery.deliver(left.pop(0), [], consumer)
    last = left.pop()
    delivery.deliver(last, [], consumer)
    return producer.produced


FIRST, AGAIN = (OutputRecord("embedded", b"x", value) for value in (b"judged first", b"judged again"))
OTHER = OutputRecord("embedded", b"y", b"other")
DELETION = OutputRecord("embedded", b"x", None)


def test_an_attempt_after_a_failed_commit_produces_only_what_is_new() -> None:
    assert deliver([FIRST, DELETION], [FIRST, DELETION, OTHER]) == [FIRST, DELETION, OTHER]


def test_an_image_that_is_judged_again_has_its_deletion_behind_it_again() -> None:
    assert deliver([FIRST, DELETION], [AGAIN, DELETION]) == [FIRST, DELETION, AGAIN, DELETION]


def test_equal_records_of_repeated_events_are_each_produced() -> None:
    assert deliver([DELETION], [DELETION, DELETION]) == [DELETION, DELETION]


def test_what_was_committed_is_forgotten() -> None:
    producer = _Producer()
    delivery = AtLeastOnce(producer, 1.0)  # type: ignore[arg-type]
    consumer: Any = _Consumer(lambda: False)
    for _ in range(2):
        delivery.deliver([DELETION], [], consumer)
    assert producer.produced == [DELETION, DELETION]


class _Left(Exception):
    """The process would have ended."""


def _leave(status: int) -> None:
    raise _Left(status)


class _Stuck:
    """A producer of which one call outlasts its own time-out, as long as `look` lets it."""

    def __init__(self, name: str, look: Callable[[], None]) -> None:
        self._name, self._look = name, look

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> int:
            for _number in range(20 if name == self._name else 0):
                self._look()  # a second passes
            return 0

        return call


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (ExactlyOnce, "init_transactions"),
        (ExactlyOnce, "send_offsets_to_transaction"),
        (ExactlyOnce, "commit_transaction"),
        (ExactlyOnce, "flush"),
        (AtLeastOnce, "flush"),
    ],
)
def test_a_call_into_librdkafka_that_outlasts_its_time_out_ends_the_process(kind: Any, call: str) -> None:
    watchdog = Watchdog(_leave)
    stuck = _Stuck(call, lambda: watchdog.look(1.0))

    def work() -> None:
        producer: Any = stuck if kind is AtLeastOnce else lambda: stuck
        delivery = kind(producer, 5.0, watchdog.limit)
        delivery.deliver([], [], cast(Any, stuck))
        delivery.close()

    with pytest.raises(_Left):
        work()


def test_so_does_a_commit_of_offsets() -> None:
    watchdog = Watchdog(_leave)
    stuck = _Stuck("commit", lambda: watchdog.look(1.0))
    with pytest.raises(_Left):
        AtLeastOnce(cast(Any, stuck), 5.0, watchdog.limit).deliver([], [], cast(Any, stuck))


class _Fenced:
    """A transactional producer that learns at its first `call` that it is fenced."""

    def __init__(self, call: str) -> None:
        self.call, self.started = call, 0

    def init_transactions(self, _: float) -> None:
        self.started += 1

    def poll(self, _: float) -> int:
        return 0

    def begin_transaction(self) -> None:
        """It may."""

    def flush(self, _: float) -> int:
        return 0

    def send_offsets_to_transaction(self, *_: Any) -> None:
        """They join."""

    def commit_transaction(self, _: float) -> None:
        if self.call == "abort":
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT, "late", txn_requires_abort=True))
        self._learn("commit")

    def abort_transaction(self, _: float) -> None:
        self._learn("abort")

    def _learn(self, call: str) -> None:
        if self.call == call:
            self.call = ""
            raise KafkaException(KafkaError(KafkaError._FENCED, "fenced", fatal=True))


class _Group:
    def consumer_group_metadata(self) -> None:
        """Of no group."""


def fenced(call: str, patience: float) -> _Fenced:
    producer = _Fenced(call)
    delivery = ExactlyOnce(cast(Any, lambda: producer), 5.0, patience=patience)
    group = cast(Any, _Group())
    with pytest.raises(NotDelivered):
        delivery.deliver([], [], group)
    delivery.deliver([], [], group)
    return producer


@pytest.mark.parametrize("call", ["commit", "abort"])
def test_who_was_stopped_for_longer_than_a_transaction_may_take_begins_anew(call: str) -> None:
    assert fenced(call, patience=0.0).started == 2


@pytest.mark.parametrize("call", ["commit", "abort"])
def test_who_is_fenced_by_another_process_ends(call: str) -> None:
    with pytest.raises(BrokerError, match="another process"):
        fenced(call, patience=30.0)


class _FailedMeanwhile(_Fenced):
    """A transactional producer that takes no record once, since its transaction failed behind its back."""

    def __init__(self, code: int, call: str) -> None:
        super().__init__(call)
        self.codes, self.produced = [code], 0

    def produce(self, *_: Any, **__: Any) -> None:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(), "unable to produce"))
        self.produced += 1


@pytest.mark.parametrize(
    ("code", "call", "started"),
    [(KafkaError._STATE, "", 1), (KafkaError._FATAL, "abort", 2), (KafkaError._FENCED, "abort", 2)],
)
def test_a_transaction_that_fails_while_records_are_queued_is_tried_again(
    code: int, call: str, started: int
) -> None:
    producer = _FailedMeanwhile(code, call)
    delivery = ExactlyOnce(cast(Any, lambda: producer), 5.0, patience=0.0)
    with pytest.raises(NotDelivered):
        delivery.deliver([FIRST, OTHER], [], cast(Any, _Group()))
    delivery.deliver([FIRST, OTHER], [], cast(Any, _Group()))
    assert (producer.produced, producer.started) == (2, started)


def test_a_record_that_no_transaction_takes_ends_the_worker() -> None:
    producer = _FailedMeanwhile(KafkaError._INVALID_ARG, "")
    delivery = ExactlyOnce(cast(Any, lambda: producer), 5.0)
    with pytest.raises(BrokerError, match="a record of 5 bytes for embedded"):
        delivery.deliver([OTHER], [], cast(Any, _Group()))
