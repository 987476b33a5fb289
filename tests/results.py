"""What came out of a run, read back from every output topic."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from tests.kafka.client import Broker, Record
from worker.settings import TopicSettings
from worker.stream import dead_letter

Place = tuple[int, int]  # partition and offset of the input record


@dataclass(frozen=True)
class Results:
    """The committed records of the score role's topics.

    The tombstones that go with dead letters of uploads stand in `removed`, not in `embedded`.
    """

    moderated: list[Record]
    enriched: list[Record]
    embedded: list[Record]
    dead: list[Record]
    removed: list[Record]

    @classmethod
    def read(cls, broker: Broker, topics: TopicSettings) -> Self:
        """Everything that a `read_committed` reader sees now."""
        names = (topics.moderated, topics.enriched, topics.embedded, topics.dead_letter)
        moderated, enriched, embedded, dead = (broker.read(name) for name in names)
        removed = [record for record in embedded if record.header(dead_letter.REASON) is not None]
        kept = [record for record in embedded if record.header(dead_letter.REASON) is None]
        return cls(moderated, enriched, kept, dead, removed)

    def outcomes(self) -> Counter[Place]:
        """How many outcomes each input record has: a verdict, or a dead letter. Deletions have neither."""
        return Counter([*map(place_of_result, self.moderated), *map(place_of_dead_letter, self.dead)])


def body(record: Record) -> dict[str, Any]:
    """The JSON of a record that has one."""
    assert record.value is not None
    parsed = json.loads(record.value)
    assert isinstance(parsed, dict)
    return parsed


def place_of_result(record: Record) -> Place:
    """Which input record a result belongs to."""
    at = body(record)["input"]
    return at["partition"], at["offset"]


def place_of_dead_letter(record: Record) -> Place:
    """Which input record a dead letter holds."""
    partition, offset = record.header(dead_letter.PARTITION), record.header(dead_letter.OFFSET)
    assert partition is not None
    assert offset is not None
    return int(partition), int(offset)


def places(records: Iterable[Record]) -> set[Place]:
    """Where input records stand in the log."""
    return {(record.partition, record.offset) for record in records}


def of_key(records: Iterable[Record], image_id: str) -> list[Record]:
    """The records of one image."""
    return [record for record in records if record.key == image_id.encode()]
