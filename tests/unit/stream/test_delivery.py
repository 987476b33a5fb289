"""At least once: what was acknowledged before a failed commit is not repeated, and order holds by key."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.stream.delivery import AtLeastOnce, NotDelivered
from worker.stream.kafka import OutputRecord


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
