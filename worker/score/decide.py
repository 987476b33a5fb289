"""Decide: scores to accept, review or block, by a policy that an operator can change."""

import hashlib
from collections.abc import Mapping

from schemas.policy import Decision, Policy, Reason


def decide(
    policy: Policy, category: str | None, scores: Mapping[str, float]
) -> tuple[Decision, list[Reason]]:
    """The strictest decision that any threshold asks for, and every threshold that was reached."""
    reasons: list[Reason] = []
    for name, threshold in policy.for_category(category).items():
        value = scores[name]
        if threshold.block is not None and value >= threshold.block:
            reasons.append(Reason(score=name, value=value, threshold=threshold.block, effect="block"))
        elif threshold.review is not None and value >= threshold.review:
            reasons.append(Reason(score=name, value=value, threshold=threshold.review, effect="review"))
    effects = {reason.effect for reason in reasons}
    if "block" in effects:
        return "block", reasons
    return ("review" if effects else "accept"), reasons


def policy_sha256(policy: Policy) -> str:
    """The digest that stands on every verdict, of the policy as canonical JSON."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
