"""In what a second answer about an image differs from its verdict."""

from datetime import UTC, datetime

import pytest

from schemas.events import ImageModerated, InputPosition, Review
from worker.model.second_answer import SecondAnswer, differences, policy_decision

NOW = datetime(2026, 1, 2, tzinfo=UTC)
VERDICT = ImageModerated(
    event_id="12345678-1234-5678-1234-567812345678",
    image_id="i",
    listing_id=None,
    bundle_id="b",
    image_sha256="a" * 64,
    input=InputPosition(event_id="e", topic="t", partition=0, offset=1),
    uploaded_at=NOW,
    decided_at=NOW,
    decision="review",
    reasons=[],
    scores={"text": 0.5},
    category=None,
    policy_sha256="p",
)
ANSWER = SecondAnswer(
    image_sha256="a" * 64,
    bundle_id="b",
    policy_sha256="p",
    decision="review",
    scores={"text": 0.5},
    reasons=[],
)


def test_the_last_digits_of_a_score_are_no_difference():
    assert differences(VERDICT, ANSWER.model_copy(update={"scores": {"text": 0.5 + 2e-6}})) == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"image_sha256": "b" * 64}, "image"),
        ({"bundle_id": "c"}, "bundle"),
        ({"policy_sha256": "q"}, "policy"),
        ({"decision": "block"}, "decision"),
        ({"scores": {"text": 0.51}}, "scores"),
        ({"scores": {"qr": 0.5}}, "scores"),
        ({"scores": {"text": float("nan")}}, "scores"),
    ],
)
def test_each_difference_has_its_name(changed, name):
    assert differences(VERDICT, ANSWER.model_copy(update=changed)) == [name]


def test_a_persons_word_is_no_difference():
    review = Review(event_id="r", reviewer="mei", reason=None, reviewed_at=NOW, policy_decision="review")
    said = VERDICT.model_copy(update={"decision": "accept", "decided_by": "person", "review": review})
    assert policy_decision(said) == "review"
    assert differences(said, ANSWER) == []
