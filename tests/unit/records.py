"""Kafka records as tests make them."""

from worker.stream.kafka import InputRecord


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
