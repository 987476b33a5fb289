"""Second answer: what is said of an image that is judged once more, beside its verdict."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.events import ImageModerated
from schemas.policy import Decision, Reason

# Graphs add in another order by the size of a batch: float32 differs in its last digits.
_SAME_SCORE = 1e-4

Difference = Literal["image", "bundle", "policy", "decision", "scores"]


class SecondAnswer(BaseModel):
    """What the policy says of an image, by which bundle; `image_sha256` is of the bytes that came."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_sha256: str
    bundle_id: str
    policy_sha256: str
    decision: Decision
    scores: dict[str, float]
    reasons: list[Reason]


def policy_decision(verdict: ImageModerated) -> Decision:
    """What the policy alone said, whatever a person did."""
    return verdict.decision if verdict.review is None else verdict.review.policy_decision


def differences(verdict: ImageModerated, answer: SecondAnswer) -> list[Difference]:
    """In what `answer` is another than `verdict`, causes first; empty: in nothing."""
    found: dict[Difference, bool] = {
        "image": verdict.image_sha256 != answer.image_sha256,
        "bundle": verdict.bundle_id != answer.bundle_id,
        "policy": verdict.policy_sha256 != answer.policy_sha256,
        "decision": policy_decision(verdict) != answer.decision,
        "scores": _are_apart(verdict.scores, answer.scores),
    }
    return [name for name, is_other in found.items() if is_other]


def _are_apart(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    if before.keys() != after.keys():
        return True
    return not all(abs(before[name] - after[name]) <= _SAME_SCORE for name in before)
