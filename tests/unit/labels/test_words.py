"""Which words stand, and how sellers are told and split."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from schemas.events import ImageModerated, InputPosition
from worker.labels.words import StandingWords, seller_of, split_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def verdict(image_id, decision, *, by=None, sha=A, minute=0):
    review = by and {
        "event_id": "r",
        "reviewer": by,
        "reason": None,
        "reviewed_at": NOW,
        "policy_decision": "review",
    }
    event = ImageModerated(
        event_id=UUID(int=1),
        image_id=image_id,
        listing_id=None,
        bundle_id="b",
        image_sha256=sha,
        input=InputPosition(event_id="e", topic="uploads", partition=0, offset=0),
        uploaded_at=NOW,
        decided_at=NOW + timedelta(minutes=minute),
        decision=decision,
        reasons=[],
        scores={},
        category=None,
        policy_sha256="p",
        decided_by="person" if by else "policy",
        review=review,
    )
    return event.model_dump_json().encode()


def standing(*values):
    words = StandingWords()
    words.add(values)
    return [(label.verdict.image_id, label.verdict.decision) for label in words.labels()]


def test_the_latest_word_stands_and_the_policys_is_none():
    said = [
        verdict("x", "review"),
        verdict("x", "accept", by="mei"),
        verdict("x", "block", by="ken", minute=1),
    ]
    assert standing(*said) == [("x", "block")]


def test_undone_it_is_no_label_and_another_image_of_the_id_changes_nothing():
    accepted = verdict("x", "accept", by="mei")
    assert standing(accepted, verdict("x", "review")) == []
    assert standing(accepted, verdict("x", "review", sha=B)) == [("x", "accept")]


def test_the_same_bytes_are_one_label():
    said = (verdict("x", "accept", by="mei"), verdict("y", "block", by="mei", minute=1))
    assert standing(*said) == [("y", "block")]


def test_what_cannot_be_read_is_passed_over():
    assert standing(None, b"{", b"[]", b'{"image_id": "x", "review": 1}') == []


def test_sellers_are_split_whole():
    words = StandingWords()
    words.add([verdict(f"shop-7/{n}.jpg", "accept", by="mei", sha=f"{n:064x}") for n in range(9)])
    sellers = {seller_of(label, re.compile(r"^([^/]+)/")) for label in words.labels()}
    assert sellers == {"shop-7"}
    assert 0.2 < sum(split_of(f"shop-{n}") == "test" for n in range(500)) / 500 < 0.4
