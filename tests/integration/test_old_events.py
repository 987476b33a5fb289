"""Events of long ago on a real Kafka: what comes of them lives as long as its topic's retention."""

import time

import pytest

from tests.kafka.client import Record, wait_until
from tests.workplace import Workplace
from worker.stream import dead_letter

DAY_MS = 86_400_000
NOT_JSON = (b"{broken", b"", b"[1]", b'{"type": "listing.image.uploaded.v1"}')


def old(count: int, days: int) -> list[Record]:
    """Records that no role can read, by the clock of `days` ago."""
    at = int(time.time() * 1000) - days * DAY_MS
    return [Record(NOT_JSON[n % 4], b"old-%d" % n, timestamp_ms=at + n) for n in range(count)]


@pytest.mark.parametrize("days", [8, 30, 400])
@pytest.mark.parametrize("role", ["score", "index"])
def test_dead_letters_of_a_backlog_outlive_the_next_retention_check(
    workplace: Workplace, role: str, days: int
) -> None:
    settings, broker = workplace.settings, workplace.broker
    source, dead_letters, group = {
        "score": (settings.topics.uploaded, settings.topics.dead_letter, settings.kafka.group),
        "index": (
            settings.topics.embedded,
            settings.topics.index_dead_letter,
            f"mekiki-index-{settings.index.name}",
        ),
    }[role]
    broker.configure(source, "retention.ms", "-1")
    witness = f"{dead_letters}.witness"
    broker.create_topics([witness], 1)
    try:
        broker.send(witness, old(10, days))  # what becomes of dead letters that have their event's own time
        sent = broker.send(source, old(10, days))
        with workplace.running(role):
            broker.wait_until_done(group, source)
        wait_until(lambda: not broker.read(witness), "a retention check")
    finally:
        broker.delete_topics([witness])
    found = broker.read(dead_letters)
    assert {record.key for record in found} == {record.key for record in sent}
    assert len(found) == 10
    for record in found:
        assert time.time() * 1000 - record.timestamp_ms < 5 * 60_000
    times = {record.key: record.header(dead_letter.TIMESTAMP) for record in found}
    assert times == {record.key: str(record.timestamp_ms).encode() for record in sent}
