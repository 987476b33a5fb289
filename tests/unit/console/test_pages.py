"""Levels that a query sets, and words in every language."""

import re
from pathlib import Path

import pytest

from console.language import _JAPANESE, preferred
from console.pages import HERE, tried
from console.request import Refused
from schemas.policy import Exemption, Policy, Threshold

POLICY = Policy(
    thresholds={"text": Threshold(block=0.6, review=0.4, unless=Exemption(score="code_area", below=0.1))}
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (0.6, 0.4)),
        ({"text.block": "0.7"}, (0.7, 0.4)),
        ({"text.block": "0.3"}, (0.3, 0.3)),
        ({"text.review": ""}, (0.6, None)),
        ({"text.block": "", "text.review": ""}, None),
        ({"other.block": "0.1"}, (0.6, 0.4)),
    ],
)
def test_levels(query, expected):
    threshold = tried(POLICY, query, ["text", "qr"]).thresholds.get("text")
    assert (threshold and (threshold.block, threshold.review)) == expected
    assert threshold is None or threshold.unless == POLICY.thresholds["text"].unless


def test_a_score_without_a_threshold_gets_one():
    assert tried(POLICY, {"qr.block": "0.5"}, ["text", "qr"]).thresholds["qr"] == Threshold(block=0.5)
    with pytest.raises(Refused):
        tried(POLICY, {"qr.block": "nan"}, ["qr"])


def test_every_word_of_the_pages_is_japanese_too():
    used = {
        word
        for template in Path(HERE, "templates").glob("*.j2")
        for word in re.findall(r'\bt\("([^"]+)"\)', template.read_text(encoding="utf-8"))
    }
    assert len(used) > 40
    assert used - set(_JAPANESE) == set()


def test_the_language_that_is_asked_for():
    assert preferred("ja", "en") == "ja"
    assert preferred("xx", "fr, ja;q=0.8, en") == "ja"
    assert preferred(None, "") == "en"
