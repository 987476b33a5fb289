"""Who is told of what: verdicts that ask for a person, with where the image is."""

import json

import pytest

from schemas.events import ImageReference, Review
from tests.unit.model.test_second_answer import NOW, VERDICT
from worker.webhooks.message import Teller

URL = ImageReference(url="https://images.example/a.jpg")
REVIEW = Review(event_id="r", reviewer="mei", reason=None, reviewed_at=NOW, policy_decision="review")


def told(verdict=VERDICT, image=URL, console=None, decisions=("review",)):
    value = verdict if isinstance(verdict, bytes) else verdict.model_dump_json().encode()
    message = Teller(decisions, lambda _: image, console)(value)
    return message and (message.id, json.loads(message.body))


def test_the_verdict_its_image_and_where_to_decide():
    name, body = told(
        VERDICT.model_copy(update={"image_id": "shop 7/ü.jpg"}), console="https://mekiki.example/"
    )
    assert name == str(VERDICT.event_id)
    assert body["type"] == "listing.image.review_requested"
    assert body["timestamp"] == VERDICT.decided_at.isoformat()
    data = body["data"]
    assert (data["image_id"], data["decision"], data["scores"]) == ("shop 7/ü.jpg", "review", {"text": 0.5})
    assert data["image"] == {"url": "https://images.example/a.jpg"}
    assert data["console_url"] == "https://mekiki.example/review?image=shop%207%2F%C3%BC.jpg"


@pytest.mark.parametrize("image", [None, ImageReference(data="AAAA")])
def test_bytes_of_an_event_are_not_sent_on(image):
    assert told(image=image)[1]["data"]["image"] is None


@pytest.mark.parametrize(
    "verdict",
    [
        VERDICT.model_copy(update={"decision": "accept"}),
        VERDICT.model_copy(update={"decision": "review", "decided_by": "person", "review": REVIEW}),
        b"{}",
        b"\xff",
    ],
)
def test_nobody_is_told_of_the_rest(verdict):
    assert told(verdict) is None


def test_other_decisions_where_they_are_asked_for():
    assert told(VERDICT.model_copy(update={"decision": "block"}), decisions=("review", "block")) is not None
