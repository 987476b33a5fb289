"""Whose word holds for which image, in any order of uploads, deletions and reviews."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from confluent_kafka import TopicPartition

from schemas.events import (
    DELETED,
    REVIEWED,
    ImageDeleted,
    ImageReference,
    ImageReviewed,
    ImageUploaded,
    Overruled,
)
from tests.unit.records import record
from worker.score.outcome import PassedOver, PassOverReason, Removal, Verdict
from worker.score.reviews import Reviews, blocked_unseen, standing_record, standing_review

NOW = datetime(2026, 1, 2, tzinfo=UTC)
A, B = "a" * 64, "b" * 64
OURS = [TopicPartition("uploads", 0)]


class Log:
    """A topic of reviews that holds some records."""

    def __init__(self, *records):
        self.records = records

    def read(self, consumer, partitions):
        return [read for read in self.records if read.partition in {at.partition for at in partitions}]


def upload(sha=A, image_id="i", decision="review"):
    event = ImageUploaded(event_id="u", image_id=image_id, uploaded_at=NOW, image=ImageReference(path="x"))
    return Verdict(event, sha, decision, [], {}, [], np.ones(2, np.float32), NOW)


def word(decision, *, sha=A, seen=A, at=None, event_id="r", image_id="i"):
    """A review of the image of digest `seen`; fetched, it has the digest `sha`."""
    overrules = None if at is None else Overruled(event_id="v", decision="review", partition=0, offset=at)
    event = ImageReviewed(
        type=REVIEWED,
        event_id=event_id,
        image_id=image_id,
        decision=decision,
        reviewer="mei",
        image=ImageReference(path="x"),
        image_sha256=seen,
        uploaded_at=NOW,
        reviewed_at=NOW,
        overrules=overrules,
    )
    return replace(upload(sha), event=event)


def deletion(image_id="i"):
    return Removal(ImageDeleted(type=DELETED, event_id="d", image_id=image_id, deleted_at=NOW))


def taken(*records):
    reviews = Reviews(Log(*records))
    reviews.take(None, OURS)
    return reviews


def applied(reviews, *outcomes, commit=True):
    out = reviews.applied([(record(offset=n), outcome) for n, outcome in enumerate(outcomes)])
    if commit:
        reviews.committed()
    return [outcome for _, outcome in out]


def decisions(outcomes):
    return [
        (outcome.decision, outcome.review and outcome.review.reviewer)
        if isinstance(outcome, Verdict)
        else getattr(outcome, "reason", type(outcome).__name__)
        for outcome in outcomes
    ]


def test_a_word_takes_the_place_of_the_policys_and_keeps_it_on_record():
    (before, after) = applied(taken(), upload(), word("accept", at=0))
    assert (before.decision, before.review) == ("review", None)
    assert (after.decision, after.review.policy_decision, after.review.reviewer) == (
        "accept",
        "review",
        "mei",
    )


def test_the_same_image_again_keeps_the_word_and_another_is_judged_afresh():
    outcomes = applied(
        taken(), word("block"), upload(A, decision="accept"), upload(B, decision="accept"), upload(A)
    )
    assert decisions(outcomes) == [("block", "mei"), ("block", "mei"), ("accept", None), ("block", "mei")]


def test_a_word_on_an_image_that_is_another_by_now_does_not_hold():
    outcomes = applied(taken(), word("accept", sha=B, seen=A))
    assert decisions(outcomes) == [("review", None)]


def test_undone_the_policy_decides_again():
    outcomes = applied(taken(), word("accept"), word("undo", event_id="r2"), upload())
    assert decisions(outcomes) == [("accept", "mei"), ("review", None), ("review", None)]


def test_a_word_said_twice_counts_once_and_so_does_an_undo():
    outcomes = applied(taken(), word("accept"), word("accept"), word("undo"), word("undo"))
    again = PassOverReason.ALREADY_JUDGED
    assert decisions(outcomes) == [("accept", "mei"), again, ("review", None), again]


def test_a_word_said_again_after_no_answer_came_counts_once():
    first = word("accept")
    later = replace(first, event=first.event.model_copy(update={"reviewed_at": NOW + timedelta(seconds=5)}))
    assert decisions(applied(taken(), first, later)) == [("accept", "mei"), PassOverReason.ALREADY_JUDGED]


@pytest.mark.parametrize("newer", [upload(B), deletion()])
def test_a_word_on_what_was_overtaken_meanwhile_changes_nothing(newer):
    outcomes = applied(taken(), upload(A), newer, word("accept", at=0))
    assert outcomes[-1] == PassedOver(PassOverReason.REVIEW_OVERTAKEN)


def test_two_people_on_one_verdict_and_the_later_word_holds():
    outcomes = applied(taken(), upload(), word("accept", at=0), word("block", at=0, event_id="r2"), upload())
    assert decisions(outcomes)[1:] == [("accept", "mei"), ("block", "mei"), ("block", "mei")]


def test_a_deletion_forgets_the_word_and_says_so():
    outcomes = applied(taken(), deletion("other"), word("accept"), deletion(), upload())
    assert [outcomes[0].was_reviewed, outcomes[2].was_reviewed] == [False, True]
    assert decisions(outcomes)[-1] == ("review", None)


def test_a_batch_that_was_not_delivered_gives_the_same_again():
    reviews = taken()
    batch = (upload(), word("accept", at=0), upload(), deletion(), upload())
    first = decisions(applied(reviews, *batch, commit=False))
    assert decisions(applied(reviews, *batch)) == first
    assert first[0] == ("review", None)


def test_what_stood_before_is_known_when_a_partition_is_taken_and_forgotten_when_it_goes():
    standing = [
        standing_record("reviews", record(partition=n), "i", standing_review(word("accept").event))
        for n in (0, 1)
    ]
    log = [record(out.value, key=out.key, partition=out.partition) for out in standing]
    reviews = taken(*log, record(None, key=b"gone"))
    assert decisions(applied(reviews, upload())) == [("accept", "mei")]
    reviews.forget(OURS)
    assert decisions(applied(reviews, upload())) == [("review", None)]
    undone = taken(*log, record(None, key=b"i"))
    assert decisions(applied(undone, upload())) == [("review", None)]


def test_the_record_of_a_word_lies_in_the_partition_of_its_uploads():
    out = standing_record("reviews", record(partition=7), "目", None)
    assert (out.partition, out.key, out.value) == (7, "目".encode(), None)


def test_an_image_that_cannot_be_seen_any_more_can_be_blocked():
    (outcome,) = applied(taken(), blocked_unseen(word("block").event))
    assert (outcome.decision, outcome.review.reviewer, outcome.embedding) == ("block", "mei", None)
