"""Kafka records as tests make them."""

from worker.stream.kafka import InputRecord


class NoReviews:
    """A topic of reviews with nothing in it."""

    def read(self, consumer, partitions):
        return []

    def close(self):
        pass


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
