"""Scores to decisions."""

import json

import pytest

from schemas.policy import Exempted, Exemption, Policy, Reason, Threshold
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


PACKAGE = Exemption(score="code_area", below=0.05)
WITH_CODES = Policy(
    thresholds={
        "text": Threshold(block=0.9),
        "qr": Threshold(block=0.8, review=0.6, unless=PACKAGE),
        "code_area": Threshold(block=0.1),
    }
)


@pytest.mark.parametrize(
    ("scores", "decision", "effects"),
    [
        ({"qr": 0.95, "code_area": 0.6}, "block", {"qr": "block", "code_area": "block"}),  # a poster
        ({"qr": 0.1, "code_area": 0.6}, "block", {"code_area": "block"}),  # a poster that the filter missed
        ({"qr": 0.95, "code_area": 0.02}, "accept", {"qr": "accept"}),  # a package
        ({"qr": 0.7, "code_area": 0.02}, "accept", {"qr": "accept"}),
        ({"qr": 0.95, "code_area": 0.05}, "block", {"qr": "block"}),  # under, not at
        ({"qr": 0.95}, "block", {"qr": "block"}),  # no code was read: the filter decides
        ({"qr": 0.7}, "review", {"qr": "review"}),
        ({"qr": 0.1}, "accept", {}),  # a plain product
        ({"qr": 0.95, "code_area": 0.02, "text": 0.9}, "block", {"text": "block", "qr": "accept"}),
    ],
)
def test_a_code_tells_a_poster_from_a_package(scores, decision, effects):
    found, reasons = decide(WITH_CODES, None, {"text": 0.1, **scores})
    assert found == decision
    assert {reason.score: reason.effect for reason in reasons} == effects


def test_the_reason_of_an_exempted_threshold_says_why():
    _, (reason,) = decide(WITH_CODES, None, {"text": 0.1, "qr": 0.95, "code_area": 0.02})
    assert reason == Reason(
        score="qr",
        value=0.95,
        threshold=0.8,
        effect="accept",
        exempted_by=Exempted(score="code_area", value=0.02, below=0.05),
    )
    assert json.loads(reason.model_dump_json())["exempted_by"] == {
        "score": "code_area",
        "value": 0.02,
        "below": 0.05,
    }


def test_a_category_may_do_without_the_exemption():
    strict = Policy(thresholds=WITH_CODES.thresholds, categories={"gift cards": {"qr": Threshold(block=0.8)}})
    scores = {"text": 0.1, "qr": 0.95, "code_area": 0.02}
    assert decide(strict, "gift cards", scores)[0] == "block"
    assert decide(strict, "toys", scores)[0] == "accept"


def test_the_digest_of_a_policy_without_exemptions_is_what_it_was_before_there_were_any():
    assert (
        POLICY.model_dump_json()
        == '{"thresholds":{"text":{"block":0.9,"review":0.7},"qr":{"block":0.8,"review":null}},'
        '"categories":{"books":{"text":{"block":0.99,"review":null}}}}'
    )
    assert policy_sha256(WITH_CODES) == policy_sha256(
        Policy.model_validate_json(WITH_CODES.model_dump_json())
    )


def test_the_digest_names_the_policy():
    assert policy_sha256(POLICY) == policy_sha256(Policy.model_validate_json(POLICY.model_dump_json()))
    assert policy_sha256(POLICY) != policy_sha256(Policy())
