"""An image of the log judged again, here and by a process of its own: the answer is the verdict's."""

import base64
from datetime import UTC, datetime

import pytest

from schemas.events import ImageModerated, ImageReference, InputPosition
from schemas.policy import Policy
from tests import images
from worker.errors import StageError
from worker.model.second_answer import SecondAnswer, differences
from worker.review.again_process import JudgeAgain
from worker.review.judge_again import judge_again, question
from worker.settings import Settings

NOW = datetime(2026, 1, 2, tzinfo=UTC)
IMAGE = ImageReference(data=base64.b64encode(images.encoded(images.photo(3, 200, 200))).decode())
SETTINGS = Settings()
BAND = {"thresholds": {"text": {"review": -1.0}}}


def verdict_of(answer: SecondAnswer | None = None) -> ImageModerated:
    """What was said once; without an answer, of an image of which nothing is known."""
    known = {
        "image_sha256": "0" * 64,
        "bundle_id": "",
        "policy_sha256": "",
        "decision": "accept",
        "scores": {},
    }
    said = known if answer is None else answer.model_dump(exclude={"reasons"})
    place = InputPosition(event_id="e", topic="uploads", partition=0, offset=1)
    return ImageModerated.model_validate(
        {
            "event_id": "12345678-1234-5678-1234-567812345678", "image_id": "i", "listing_id": None,
            "input": place, "uploaded_at": NOW, "decided_at": NOW, "reasons": [], "category": None, **said,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def verdict() -> ImageModerated:
    """What the starter bundle says of the image."""
    return verdict_of(judge_again(question(SETTINGS, verdict_of(), IMAGE)))


def test_a_process_of_its_own_gives_the_same_answer(verdict: ImageModerated) -> None:
    assert set(verdict.scores) >= {"text", "qr"}
    assert differences(verdict, JudgeAgain(SETTINGS)(verdict, IMAGE)) == []


def test_another_policy_and_another_image_are_told(verdict: ImageModerated) -> None:
    model = SETTINGS.model.model_copy(update={"policy": Policy.model_validate(BAND)})
    strict = Settings(model=model)
    assert differences(verdict, judge_again(question(strict, verdict, IMAGE))) == ["policy", "decision"]
    other = ImageReference(data=base64.b64encode(images.encoded(images.photo(4, 200, 200))).decode())
    told = differences(verdict, judge_again(question(SETTINGS, verdict, other)))
    assert told[0] == "image"
    assert "scores" in told


def test_what_cannot_be_judged_says_why(verdict: ImageModerated) -> None:
    damaged = ImageReference(data=base64.b64encode(b"no image").decode())
    with pytest.raises(StageError, match="image"):
        JudgeAgain(SETTINGS)(verdict, damaged)


def test_a_process_that_dies_or_is_late_is_no_answer(verdict: ImageModerated) -> None:
    with pytest.raises(StageError, match="it was not judged"):
        JudgeAgain(SETTINGS, module="worker.no_such_module")(verdict, IMAGE)
    with pytest.raises(StageError, match="was not judged within"):
        JudgeAgain(SETTINGS, seconds=0.01)(verdict, IMAGE)
