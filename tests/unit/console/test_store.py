"""Rows into the database: twice the same, in any order the same, forgotten when deleted."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from console.database import REBUILT, Database, image, lease
from console.queue import Queue
from console.rows import IN_REVIEW, NEAR, NO_QUEUE, RowReader, Told
from console.store import Store
from schemas.events import ImageModerated, InputPosition
from schemas.policy import Policy, Threshold
from tests.unit.records import record
from worker.errors import ConfigurationError
from worker.settings import TopicSettings

TOPICS = TopicSettings()
NOW = datetime(2026, 1, 2, tzinfo=UTC)
POLICY = Policy(thresholds={"text": Threshold(block=0.6, review=0.4)})


def read_input(found):
    return [Told(found.key.decode(), found.value.decode(), "")]


def verdict(image_id, offset, decision="review", text=0.5, reviewer=None, decided_at=NOW):
    """The verdict on the event at `offset` of the uploads, which stands at the same offset."""
    review = reviewer and {
        "event_id": "r",
        "reviewer": reviewer,
        "reason": None,
        "reviewed_at": NOW,
        "policy_decision": "review",
    }
    event = ImageModerated(
        event_id=UUID(int=offset),
        image_id=image_id,
        listing_id=None,
        bundle_id="b",
        image_sha256="a" * 64,
        input=InputPosition(event_id=str(offset), topic=TOPICS.uploaded, partition=0, offset=offset),
        uploaded_at=NOW,
        decided_at=decided_at,
        decision=decision,
        reasons=[],
        scores={"text": text},
        category=None,
        policy_sha256="p",
        decided_by="person" if reviewer else "policy",
        review=review,
    )
    value = event.model_dump_json().encode()
    return record(
        value, topic=TOPICS.moderated, offset=offset, key=image_id.encode(), timestamp_ms=offset + 1
    )


def told(kind, image_id, offset):
    return record(
        kind.encode(), topic=TOPICS.uploaded, offset=offset, key=image_id.encode(), timestamp_ms=offset + 1
    )


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path}/console.db")
    yield opened
    opened.close()


def add(database, *records):
    rows = RowReader(TOPICS, POLICY, read_input)(records)
    return Store(database).add(rows, {(one.topic, one.partition): one.offset + 1 for one in records})


def content(database):
    with database.transaction() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=str)
            for table in REBUILT[:-1]
        }


def test_the_same_records_again_change_nothing(database):
    records = (
        told("uploaded", "a", 0),
        verdict("a", 0),
        verdict("a", 3, "accept", reviewer="mei"),
        verdict("b", 1),
    )
    add(database, *records)
    before = content(database)
    add(database, *records)
    assert content(database) == before
    assert Store(database).places() == {(TOPICS.uploaded, 0): 1, (TOPICS.moderated, 0): 2}


def test_only_the_latest_verdict_waits(database):
    add(database, verdict("a", 3, "accept", reviewer="mei"), verdict("a", 0))
    add(
        database,
        verdict("near", 5, "accept", text=0.38),
        verdict("far", 6, "accept", text=0.1),
        verdict("in", 7),
    )
    with database.transaction() as connection:
        queues = {row.image_id: row.queue for row in connection.execute(select(image))}
    assert queues == {"a": NO_QUEUE, "near": NEAR, "far": NO_QUEUE, "in": IN_REVIEW}


def test_the_later_upload_holds_where_a_slow_image_was_decided_after_it(database):
    late = NOW + timedelta(seconds=9)
    add(database, verdict("a", 0, decided_at=late), verdict("a", 1, "accept"))
    assert [row[2] for row in content(database)["image"]] == [1]
    add(database, verdict("b", 2, decided_at=late))
    add(database, verdict("b", 3, "accept"))
    assert [row[2] for row in content(database)["image"]] == [1, 3]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 1, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_a_deleted_image_is_forgotten_in_any_order(database, order):
    records = [told("uploaded", "a", 0), verdict("a", 0), told("deleted", "a", 1), verdict("a", 2, "accept")]
    for number in order:
        add(database, records[number])
    found = content(database)
    assert [row[1] for row in found["verdict"]] == [2]
    assert [row[2] for row in found["image"]] == [2]
    assert "uploaded" not in [row[6] for row in found["step"]]


def test_an_image_is_one_persons_at_a_time(database):
    add(database, verdict("a", 0, text=0.41), verdict("b", 1, text=0.5))
    queue = Queue(database, 60)
    assert [shown.event.image_id for shown in queue.take("mei", 1)] == ["a"]
    assert [shown.event.image_id for shown in queue.take("ken", 2)] == ["b"]
    assert [shown.event.image_id for shown in queue.take("mei", 2)] == ["a"]
    queue.note_word("a", "mei", "accept")
    assert queue.take("mei", 2) == []
    add(database, verdict("a", 2, "accept", reviewer="mei"))
    with database.transaction() as connection:
        assert [row.image_id for row in connection.execute(select(lease))] == ["b"]


def test_what_is_older_than_the_retention_goes(database):
    add(database, told("uploaded", "a", 0), verdict("a", 0), told("deleted", "x", 5), verdict("b", 9))
    Store(database).retain(8)
    found = content(database)
    assert [len(found[name]) for name in ("verdict", "image", "step", "forgotten")] == [1, 1, 1, 0]


@pytest.mark.parametrize("value", [None, b"{", b"[]", json.dumps({"scores": {}}).encode(), b"\xff" * 9])
def test_what_is_no_verdict_is_a_line_at_most(database, value):
    add(database, record(value, topic=TOPICS.moderated, key=b"\xff\x00"))
    assert content(database)["verdict"] == []


def test_no_database_is_told():
    with pytest.raises(ConfigurationError, match=r"console\.database"):
        Database("sqlite:////no/such/folder/console.db")
