"""Records of several events, on a real Kafka: one outcome for each entry, also when the worker is killed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.events import EMBEDDED, MODERATED, derived_event_id
from tests import events, images, inputs
from tests.guarded_worker import GuardedWorker
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, Record
from tests.results import Results, body
from tests.workplace import Workplace
from worker.replay.replay import REPLAYS
from worker.stream import dead_letter

# The first part of a path says what the hostile server does: these are bucket names too.
GOOD, MISSING = "ok", "404"
Place = tuple[int, int, int | None]  # partition, offset and entry


def entry(bucket: str, key: str, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    (one,) = body(events.notification(bucket, key, event))["Records"]
    assert isinstance(one, dict)
    return one


def entries(number: int) -> list[dict[str, Any]]:
    """Two images, one that is gone, a deletion, and a change of tags."""
    return [
        entry(GOOD, f"{number}-a.jpg"),
        entry(MISSING, f"{number}.jpg"),
        entry(GOOD, f"{number}-gone.jpg", "ObjectRemoved:Delete"),
        entry(GOOD, f"{number}-a.jpg", "ObjectTagging:Put"),
        entry(GOOD, f"{number}-b.jpg"),
    ]


def wrapped(number: int) -> Record:
    """Plain, or as two messages of SQS, the second through SNS."""
    five = entries(number)
    plain = {"Records": five}
    first = {"eventSource": "aws:sqs", "body": json.dumps({"Records": five[:2]})}
    topic = {"Type": "Notification", "TopicArn": "t", "Message": json.dumps({"Records": five[2:]})}
    queued = {"Records": [first, {"eventSource": "aws:sqs", "body": json.dumps(topic)}]}
    return events.as_json(queued if number % 2 else plain, f"key-{number}", partition=number % 2)


@pytest.fixture
def world(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workplace, inputs.World]]:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka, names=inputs.NAMES)
        with inputs.world(workplace.folder) as world:
            yield workplace, world


def place(record: Record) -> Place:
    """Where the event of a result or a dead letter stands."""
    if record.header(dead_letter.REASON) is None:
        at = body(record)["input"]
        return at["partition"], at["offset"], at.get("entry")
    number = record.header(dead_letter.ENTRY)
    partition, offset = record.header(dead_letter.PARTITION), record.header(dead_letter.OFFSET)
    return int(partition or b""), int(offset or b""), None if number is None else int(number)


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_each_entry_has_one_outcome_though_the_worker_is_killed(
    world: tuple[Workplace, inputs.World], tmp_path: Path, mode: str
) -> None:
    workplace, around = world
    count = 120
    for number in range(count):
        for letter in "ab":
            photo = images.encoded(images.photo(number, 64, 64))
            around.server.files[f"{number}-{letter}.jpg"] = photo
    settings = workplace.changed(
        score={"delivery": mode, "commit_records": 10, "max_in_flight": 20},
        fetch={"object_url": around.server.url("/{bucket}/{key}", host="images.test"), "threads": 1},
    )
    topic, group = settings.topics.uploaded, settings.kafka.group
    sent = workplace.broker.send(topic, [wrapped(number) for number in range(count)])
    worker = GuardedWorker(["score"], settings, tmp_path / "worker.log")
    try:
        worker.wait_until(
            lambda: sum(workplace.broker.committed(group, topic).values()) > 0, "committing", 60
        )
    finally:
        worker.kill()
    assert 0 < workplace.broker.lag(group, topic) < count, "the worker was killed in between"
    with workplace.running("score", settings=settings):
        workplace.broker.wait_until_done(group, topic)
    results = Results.read(workplace.broker, settings.topics)
    numbers = {
        (record.partition, record.offset): int((record.key or b"").decode().removeprefix("key-"))
        for record in sent
    }
    assert_outcomes(results, numbers, exactly=mode == "exactly_once")


def assert_outcomes(results: Results, numbers: dict[tuple[int, int], int], *, exactly: bool) -> None:
    def everywhere(*entries: int) -> set[Place]:
        return {(*at, number) for at in numbers for number in entries}

    verdicts, dead = Counter(map(place, results.moderated)), Counter(map(place, results.dead))
    vectors = Counter(place(record) for record in results.embedded if record.value is not None)
    tombstones = Counter(record.key for record in results.embedded if record.value is None)
    assert set(verdicts) == set(vectors) == set(map(place, results.enriched)) == everywhere(0, 4)
    assert set(dead) == everywhere(1)
    assert set(tombstones) == {f"{GOOD}/{number}-gone.jpg".encode() for number in numbers.values()}
    if exactly:
        for counts in (verdicts, vectors, dead, tombstones):
            assert set(counts.values()) == {1}
    for record in results.dead:
        partition, offset, _ = place(record)
        number = numbers[partition, offset]
        assert record.header(dead_letter.REASON) == b"fetch.not_found"
        assert record.key == f"key-{number}".encode()
        assert body(record) == {"Records": [entries(number)[1]]}
    # The same entry has the same ids, however often it comes; each has ids of its own.
    assert len({body(record)["event_id"] for record in results.moderated}) == 2 * len(numbers)
    assert len({record.header(dead_letter.EVENT_ID) for record in results.dead}) == len(numbers)
    assert len({record.header("ce_id") for record in results.embedded}) == 3 * len(numbers)
    cause = f"{GOOD}/0-b.jpg#17A0B1C2D3E4F506#ObjectCreated:Put"
    assert str(derived_event_id(MODERATED, cause)) in {body(r)["event_id"] for r in results.moderated}
    cause = f"{GOOD}/0-gone.jpg#17A0B1C2D3E4F506#ObjectRemoved:Delete"
    assert str(derived_event_id(EMBEDDED, cause)).encode() in {r.header("ce_id") for r in results.embedded}


def test_the_failed_entry_can_be_replayed_alone(world: tuple[Workplace, inputs.World]) -> None:
    """Its dead letter is a notification of one entry: sent back after the upload, it is judged."""
    workplace, around = world
    settings = workplace.changed(
        fetch={"object_url": around.server.url("/{bucket}/{key}", host="images.test")}
    )
    topic, group = settings.topics.uploaded, settings.kafka.group
    around.server.files["there.jpg"] = images.jpeg(1)
    around.server.files["late.jpg"] = b"not yet"
    first, late = entry(GOOD, "there.jpg"), entry(GOOD, "late.jpg")
    sent = workplace.broker.send(topic, [events.as_json({"Records": [first, late]}, "key")])
    with workplace.running("score", settings=settings):
        workplace.broker.wait_until_done(group, topic)
        (dead,) = Results.read(workplace.broker, settings.topics).dead
        assert place(dead) == (sent[0].partition, 0, 1)
        around.server.files["late.jpg"] = images.jpeg(2)
        kept = tuple(header for header in dead.headers if header[0] not in dead_letter.OWN_HEADERS)
        workplace.broker.send(topic, [Record(dead.value, dead.key, (*kept, (REPLAYS, b"1")))])
        workplace.broker.wait_until_done(group, topic)
    results = Results.read(workplace.broker, settings.topics)
    assert {body(record)["image_id"]: place(record)[2] for record in results.moderated} == {
        f"{GOOD}/there.jpg": 0,
        f"{GOOD}/late.jpg": None,
    }
    assert len(results.moderated) == 2
    assert len(results.dead) == 1
