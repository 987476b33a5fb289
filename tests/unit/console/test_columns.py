"""A recount over columns is what the policy decides, image by image."""

import json
import random
from collections import Counter

import pytest

from console.columns import ScoreColumns
from schemas.policy import Exemption, Policy, Threshold
from worker.score.decide import decide

POLICY = Policy(
    thresholds={
        "text": Threshold(block=0.6, review=0.4),
        "qr": Threshold(block=0.5, unless=Exemption(score="code_area", below=0.3)),
    },
    categories={"books": {"text": Threshold(block=0.9)}, "unseen": {"text": Threshold(block=0.1)}},
)


def rows(count, seed=1):
    chance = random.Random(seed)
    for number in range(count):
        scores = {"text": round(chance.random(), 2), "qr": round(chance.random(), 2)}
        if chance.random() < 0.5:
            scores["code_area"] = round(chance.random(), 2)
        yield {
            "partition": number % 3,
            "offset": number,
            "decided_ms": number,
            "policy_decision": chance.choice(["accept", "review", "block"]),
            "category": chance.choice([None, "books", "shoes"]),
            "scores": json.dumps(scores),
            "reviewer": None,
        }


def columns(found, **options):
    made = ScoreColumns(**options)
    for begin in range(0, len(found), 70):
        made.add(found[begin : begin + 70])
    return made


def test_a_recount_is_what_the_policy_decides():
    found = list(rows(500))
    expected = Counter(
        (row["policy_decision"], decide(POLICY, row["category"], json.loads(row["scores"]))[0])
        for row in found
    )
    recount = columns(found).recount(POLICY)
    assert recount.verdicts == 500
    assert recount.changes == {pair: count for pair, count in expected.items() if pair[0] != pair[1]}
    for decision in ("accept", "review", "block"):
        assert recount.after[decision] == sum(n for (_, after), n in expected.items() if after == decision)


def test_the_nearest_to_a_cut():
    recount = columns(list(rows(500))).recount(POLICY, "text", near=3)
    assert recount.over[0].value == pytest.approx(0.6)
    assert all(one.value < 0.6 for one in recount.under)
    assert len(recount.under) == len(recount.over) == 3


def test_peoples_words_are_no_second_upload_and_the_oldest_go():
    found = list(rows(1000))
    found[0]["reviewer"] = "mei"
    full = columns(found, most=500)
    assert full.recount(POLICY).verdicts <= 500
    full.forget(990)
    assert full.recount(POLICY).verdicts == 10
    assert columns([]).recount(POLICY, "text").verdicts == 0


def test_histograms_leave_out_what_is_absent():
    found = columns(list(rows(200)))
    assert sum(found.histogram("text")) == 200
    assert 0 < sum(found.histogram("code_area")) < 200
