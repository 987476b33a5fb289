"""Shadowed events into counts and disagreements; of a deleted image the counts are left."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import func, select

from console.database import Database, disagreement, trial, trial_count
from console.rows import RowReader, Told
from console.store import Store
from console.trials import Trials
from schemas.events import ImageShadowed, TriedDecision
from schemas.policy import Policy, Reason
from tests.unit.records import record
from worker.settings import TopicSettings

TOPICS = TopicSettings()
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY_MS = 86_400_000


def said(bundle, decision, text):
    effects = [] if decision == "accept" else [decision]
    reasons = [Reason(score="text", value=text, threshold=0.5, effect=effect) for effect in effects]
    return TriedDecision(
        bundle_id=bundle, policy_sha256="p" * 64, decision=decision, reasons=reasons, scores={"text": text}
    )


def shadowed(offset, served, shadow, image_id=None, at_ms=DAY_MS):
    event = ImageShadowed(
        event_id=UUID(int=offset),
        image_id=image_id or f"i{offset}",
        listing_id=None,
        category=None,
        image_sha256="a" * 64,
        input_event_id="e",
        moderated_event_id=UUID(int=1),
        uploaded_at=NOW,
        decided_at=NOW,
        shadowed_at=NOW,
        served=said("old", *served),
        shadow=said("new", *shadow),
    )
    value = event.model_dump_json().encode()
    return record(value, topic=TOPICS.shadowed, offset=offset, key=b"k", timestamp_ms=at_ms)


SHADOWED = [
    shadowed(0, ("accept", 0.1), ("accept", 0.2)),
    shadowed(1, ("accept", 0.2), ("block", 0.9)),
    shadowed(2, ("block", 0.9), ("review", 0.5)),
    shadowed(3, ("accept", 0.4), ("block", 0.6)),
]


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path}/console.db")
    yield opened
    opened.close()


def read(store, *records, next_offset):
    kind = lambda found: [Told(found.key.decode(), found.value.decode(), "")]  # noqa: E731
    rows = RowReader(TOPICS, Policy(), kind)(records)
    store.add(rows, {(TOPICS.shadowed, 0): next_offset})


def test_counts_by_decision_and_by_score_and_the_furthest_apart_first(database):
    store = Store(database)
    read(store, *SHADOWED[:2], next_offset=2)
    read(store, *SHADOWED[2:], next_offset=4)
    (found,) = Trials(database).latest()
    assert (found.served_bundle, found.shadow_bundle, found.images) == ("old", "new", 4)
    assert found.changes == {("accept", "block"): 2, ("block", "review"): 1}
    assert found.scores == {"text": {"stricter": 2, "laxer": 1}}
    assert [event.image_id for event in found.furthest] == ["i1", "i3", "i2"]


def test_another_bundle_is_another_trial(database):
    body = json.loads(SHADOWED[1].value)
    body["shadow"]["bundle_id"] = "newer"
    body["event_id"] = str(UUID(int=9))
    other = record(json.dumps(body).encode(), topic=TOPICS.shadowed, offset=9, timestamp_ms=3 * DAY_MS)
    read(Store(database), *SHADOWED, other, next_offset=10)
    assert [found.shadow_bundle for found in Trials(database).latest()] == ["newer", "new"]


@pytest.mark.parametrize("first", ["deletion", "trial"])
def test_a_deleted_image_is_counted_and_not_shown(database, first):
    deletion = record(b"deleted", topic=TOPICS.uploaded, offset=5, key=b"i1", timestamp_ms=DAY_MS)
    records = {"deletion": deletion, "trial": SHADOWED[1]}
    for name in sorted(records, key=lambda name: name != first):
        read(Store(database), records[name], next_offset=9)
    (found,) = Trials(database).latest()
    assert found.changes == {("accept", "block"): 1}
    assert found.furthest == []


def test_what_is_older_than_the_retention_goes(database):
    read(Store(database), *SHADOWED, next_offset=4)
    Store(database).retain(3 * DAY_MS)
    with database.transaction() as connection:
        left = [connection.execute(select(func.count()).select_from(each)).scalar() for each in
                (trial, trial_count, disagreement)]  # fmt: skip
    assert left == [0, 0, 0]


def test_what_cannot_be_read_is_no_trial(database):
    read(Store(database), record(b"{}", topic=TOPICS.shadowed, offset=0), next_offset=1)
    assert Trials(database).latest() == []
