"""Decide: scores to accept, review or block, by a policy that an operator can change."""

import hashlib
from collections.abc import Mapping

from schemas.policy import Decision, Exempted, Policy, Reason, Threshold


def decide(
    policy: Policy, category: str | None, scores: Mapping[str, float]
) -> tuple[Decision, list[Reason]]:
    """The strictest decision that any threshold asks for, and every threshold that was reached.

    A score that is absent reaches no threshold: `code_area` where no code was read.
    """
    reasons = [
        reason
        for name, threshold in policy.for_category(category).items()
        if (reason := _reason(name, threshold, scores)) is not None
    ]
    effects = {reason.effect for reason in reasons}
    if "block" in effects:
        return "block", reasons
    return ("review" if "review" in effects else "accept"), reasons


def _reason(name: str, threshold: Threshold, scores: Mapping[str, float]) -> Reason | None:
    value = scores.get(name)
    if value is None:
        return None
    level: float
    effect: Decision
    if threshold.block is not None and value >= threshold.block:
        level, effect = threshold.block, "block"
    elif threshold.review is not None and value >= threshold.review:
        level, effect = threshold.review, "review"
    else:
        return None
    exempted = _exempted(threshold, scores)
    if exempted is not None:
        effect = "accept"
    return Reason(score=name, value=value, threshold=level, effect=effect, exempted_by=exempted)


def _exempted(threshold: Threshold, scores: Mapping[str, float]) -> Exempted | None:
    unless = threshold.unless
    if unless is None:
        return None
    value = scores.get(unless.score)
    if value is None or value >= unless.below:
        return None
    return Exempted(score=unless.score, value=value, below=unless.below)


def policy_sha256(policy: Policy) -> str:
    """The digest that stands on every verdict, of the policy as canonical JSON."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
