"""Scores to decisions."""

import pytest

from schemas.policy import Policy, Threshold
from worker.score.decide import decide, policy_sha256

POLICY = Policy(
    thresholds={"text": Threshold(block=0.9, review=0.7), "qr": Threshold(block=0.8)},
    categories={"books": {"text": Threshold(block=0.99)}},
)


@pytest.mark.parametrize(
    ("text", "qr", "category", "decision", "reached"),
    [
        (0.1, 0.1, None, "accept", []),
        (0.7, 0.1, None, "review", ["text"]),
        (0.9, 0.1, None, "block", ["text"]),
        (0.95, 0.1, "books", "accept", []),
        (0.75, 0.8, None, "block", ["text", "qr"]),
        (0.1, 0.79, "unheard of", "accept", []),
    ],
)
def test_the_strictest_threshold_wins(text, qr, category, decision, reached):
    found, reasons = decide(POLICY, category, {"text": text, "qr": qr, "preference": 1.0})
    assert found == decision
    assert [reason.score for reason in reasons] == reached


def test_the_digest_names_the_policy():
    assert policy_sha256(POLICY) == policy_sha256(Policy.model_validate_json(POLICY.model_dump_json()))
    assert policy_sha256(POLICY) != policy_sha256(Policy())
