"""Each upload with what came of it."""

from schemas.rejection import RejectionReason
from tests.unit.demo.outcomes import World, upload
from worker.demo.entries import MISSING, REJECT, REMOVE, entries_of
from worker.demo.uploads import Kind


def test_an_accepted_image_has_its_verdict_tags_and_times() -> None:
    world = World()
    world.judge(upload(0), "accept", text=0.2, preference=0.75, near=[("image-9", 0.01)])
    (entry,) = entries_of(world.published, world.seen)
    assert entry.outcome == "accept"
    assert entry.as_expected
    assert dict(entry.scores) == {"text": 0.2, "preference": 0.75}
    assert [tag.name for tag in entry.tags] == ["T-Shirt"]
    assert (entry.verdict_ms, round(entry.searchable_ms or 0)) == (40, 60)
    assert entry.update is not None
    assert entry.update.near_duplicates[0].image_id == "image-9"


def test_a_blocked_photo_is_not_what_it_was_made_for_and_never_searchable() -> None:
    world = World()
    world.judge(upload(0), "block", text=0.9)
    world.judge(upload(1, Kind.NOTICE), "block", text=0.9)
    entries = entries_of(world.published, world.seen)
    assert [entry.as_expected for entry in entries] == [False, True]
    assert [entry.searchable_ms for entry in entries] == [None, None]


def test_a_rejection_is_expected_with_its_own_reason_alone() -> None:
    world = World()
    for number, reason in enumerate((RejectionReason.IMAGE_CORRUPT, RejectionReason.SOURCE_EMPTY)):
        broken = upload(number, Kind.BROKEN, expected=RejectionReason.IMAGE_CORRUPT)
        world.reject(broken, reason)
    entries = entries_of(world.published, world.seen)
    assert [entry.outcome for entry in entries] == [REJECT, REJECT]
    assert [entry.as_expected for entry in entries] == [True, False]


def test_deletions_and_what_has_no_outcome_are_told_apart_in_the_order_of_publishing() -> None:
    world = World()
    world.publish(upload(0))
    world.delete(upload(1, Kind.DELETION))
    world.judge(upload(2), "accept")
    outcomes = [entry.outcome for entry in entries_of(world.published, world.seen)]
    assert outcomes == [MISSING, REMOVE, "accept"]


def test_a_copy_is_of_its_originals_group() -> None:
    world = World()
    world.judge(upload(0), "accept")
    world.judge(upload(1, Kind.COPY, original="image-0"), "accept")
    assert {entry.group for entry in entries_of(world.published, world.seen)} == {"image-0"}
