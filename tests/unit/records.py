"""Kafka records as tests make them."""

from worker.health import Health
from worker.score.retries import Retries
from worker.stream.kafka import InputRecord
from worker.stream.unreadable import Unreadable


class NoReviews:
    """A topic of reviews with nothing in it."""

    def read(self, consumer, partitions, starts=None):
        return []

    def close(self):
        pass


def no_retries(metrics):
    """Nothing is parked, and nothing comes back."""
    return Retries(
        NoReviews(), None, "retry", 0.0, 1.0, metrics, Unreadable("score", metrics, Health(60, ()))
    )


def record(
    value=b"",
    *,
    topic="uploads",
    partition=0,
    offset=0,
    key=None,
    headers=(),
    timestamp_ms=1_700_000_000_000,
    entry=None,
):
    """An InputRecord with defaults."""
    return InputRecord(topic, partition, offset, key, value, tuple(headers), timestamp_ms, entry)
