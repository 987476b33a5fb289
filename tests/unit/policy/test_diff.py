"""What another policy would have changed: counts, nearest images, people's words, in bounded memory."""

import json

import pytest

from schemas.policy import CodeRules, Exemption, Policy, Threshold
from worker.policy import diff as module
from worker.policy.diff import OTHER_CATEGORIES, PolicyDiff

NEW = Policy(
    thresholds={"text": Threshold(block=0.5, review=0.3)},
    categories={"books": {"text": Threshold(block=0.9)}},
)


def verdict(text, decision="accept", *, number=0, category=None, review=None, codes=(), scores=None):
    event = {
        "image_id": f"image-{number}",
        "category": category,
        "scores": {"text": text} if scores is None else scores,
        "decision": decision,
        "decided_at": f"2026-01-02T00:00:{number:02}Z",
        "input": {"event_id": f"e{number}", "topic": "uploads", "partition": 0, "offset": number},
    }
    if review is not None:
        event["review"] = {"policy_decision": review, "event_id": f"e{number}"}
    if codes:
        event["codes"] = list(codes)
    return json.dumps(event).encode()


def diffed(*values, policy=NEW, **options):
    diff = PolicyDiff(policy, **options)
    diff.add(values)
    return diff.report()


def test_counts_and_rates_of_each_category():
    report = diffed(
        verdict(0.6), verdict(0.35), verdict(0.1), verdict(0.6, category="books"), verdict(0.1, "block")
    )
    assert (report.verdicts, report.total.changed) == (5, 3)
    none, books = report.categories
    assert (none.category, none.changed, books.category, books.changed) == ("", 3, "books", 0)
    assert none.rate("block", after=False) == none.rate("block", after=True) == 0.25
    assert {(change.before, change.after): change.count for change in none.changes} == {
        ("accept", "block"): 1,
        ("accept", "review"): 1,
        ("block", "accept"): 1,
    }


def test_the_nearest_on_both_sides_of_each_cut():
    report = diffed(*(verdict(n / 10, number=n) for n in range(10)), near=2)
    cuts = {cut.effect: cut for cut in report.cuts}
    assert [image.value for image in cuts["block"].under] == [0.4, 0.3]
    assert [image.value for image in cuts["block"].over] == [0.5, 0.6]
    assert [image.offset for image in cuts["review"].over] == [3, 4]


def test_a_persons_word_is_truth_and_no_second_upload():
    said = [
        verdict(0.9, "block", number=1, review="accept"),
        verdict(0.8, "accept", number=2, review="review"),
        verdict(0.1, "block", number=3, review="accept"),
    ]
    report = diffed(verdict(0.9, number=1), *said, reviewed=True)
    assert report.verdicts == 1
    assert (report.reviewed.images, report.reviewed.blocked) == (3, 2)
    assert (report.reviewed.before.precision, report.reviewed.before.recall) == (None, 0.0)
    assert (report.reviewed.after.precision, report.reviewed.after.recall) == (0.5, 0.5)


def test_the_latest_word_counts_and_a_kept_one_is_judged_by_the_policys_decision():
    kept = json.loads(verdict(0.9, "accept", number=5, review="block"))
    kept["review"]["event_id"] = "an earlier review"
    report = diffed(
        verdict(0.9, "accept", number=1, review="block"), json.dumps(kept).encode(), reviewed=True
    )
    assert (report.verdicts, report.total.changed, report.reviewed.images) == (1, 0, 1)


def test_what_codes_say_is_judged_anew():
    policy = Policy(
        thresholds={"qr": Threshold(block=0.5, unless=Exemption(score="code_foreign", below=1))},
        codes=CodeRules(allowed_hosts=["brand.example"]),
    )
    codes = [{"format": "QRCode", "payload": "https://brand.example/", "area_share": 0.5}]
    scores = {"qr": 0.9, "code_area": 0.5}
    report = diffed(
        verdict(0, "block", scores=scores, codes=codes), verdict(0, "block", scores=scores), policy=policy
    )
    assert report.total.changes[0].count == 1


@pytest.mark.parametrize("value", [None, b"{", b"[]", b"{}", b'{"scores": 1}', b"[" * 100_000])
def test_what_cannot_be_read_is_counted(value):
    assert diffed(value, verdict(0.1)).unreadable == 1


def test_an_image_that_was_blocked_unseen_is_counted_apart():
    assert diffed(verdict(0, "block", scores={}, review="block")).without_scores == 1


def test_categories_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_CATEGORIES", 3)
    report = diffed(*(verdict(0.1, category=f"c{n}") for n in range(10)))
    assert {row.category: row.verdicts for row in report.categories}[OTHER_CATEGORIES] == 7
