"""Tables of the report, counted by hand."""

import pytest

from schemas.search import SearchResult
from tests.unit.demo.outcomes import World, entry, upload
from worker.demo.entries import entries_of
from worker.demo.tables import (
    confusion,
    copies,
    latencies,
    near_duplicate_pairs,
    of_every_edit,
    outcome_columns,
)
from worker.demo.uploads import Kind


def family(world: World) -> None:
    """A photo, a mirrored and a bordered copy; the index ties the first, and a stranger to the photo."""
    world.judge(upload(0), "accept")
    world.judge(upload(1, Kind.COPY, note="mirrored", original="image-0"), "accept", near=[("image-0", 0.02)])
    world.judge(upload(2, Kind.COPY, note="white border", original="image-0"), "accept")
    world.judge(upload(3), "accept", near=[("image-0", 0.01), ("image-77", 0.001)])


def test_outcomes_are_counted_by_kind() -> None:
    world = World()
    family(world)
    world.judge(upload(4, Kind.NOTICE), "block")
    world.judge(upload(5, Kind.NOTICE), "review")
    rows = {row.kind: row for row in confusion(entries_of(world.published, world.seen), own_images=False)}
    assert list(rows) == [Kind.PHOTO, Kind.COPY, Kind.NOTICE]
    assert rows[Kind.PHOTO].share == 1
    assert (rows[Kind.NOTICE].counts, rows[Kind.NOTICE].share) == ({"block": 1, "review": 1}, 0.5)


def test_nothing_is_expected_of_the_users_own_images() -> None:
    world = World()
    family(world)
    rows = confusion(entries_of(world.published, world.seen), own_images=True)
    assert [(row.kind, row.expected) for row in rows] == [("your image", None), (Kind.COPY, None)]


def test_there_is_a_column_for_reviews_only_where_there_are_some() -> None:
    assert outcome_columns([entry(1, outcome="accept")]) == ["accept", "block", "reject"]
    assert outcome_columns([entry(1, outcome="review")]) == ["accept", "review", "block", "reject"]


def test_pairs_are_told_once_the_nearest_first_and_of_known_images_alone() -> None:
    world = World()
    family(world)
    pairs = near_duplicate_pairs(entries_of(world.published, world.seen))
    told = [(pair.first.upload.image_id, pair.second.upload.image_id, pair.same) for pair in pairs]
    assert told == [("image-3", "image-0", False), ("image-1", "image-0", True)]


def test_the_first_few_pairs_show_every_edit() -> None:
    world = World()
    for number in range(4):
        note = "mirrored" if number < 3 else "white border"
        world.judge(
            upload(number, Kind.COPY, note=note, original="x"), "accept", near=[("image-9", number / 100)]
        )
    world.judge(upload(9), "accept")
    pairs = of_every_edit(near_duplicate_pairs(entries_of(world.published, world.seen)))
    assert [pair.first.upload.image_id for pair in pairs] == ["image-0", "image-3", "image-1", "image-2"]


def test_copies_are_counted_by_edit() -> None:
    world = World()
    family(world)
    entries = entries_of(world.published, world.seen)
    neighbours = {
        "image-1": [SearchResult(image_id="image-0", distance=0.02)],
        "image-2": [
            SearchResult(image_id="image-3", distance=0.01),
            SearchResult(image_id="image-0", distance=0.3),
        ],
    }
    mirrored, bordered = copies(entries, near_duplicate_pairs(entries), neighbours)
    assert (mirrored.edit, mirrored.made, mirrored.searchable) == ("mirrored", 1, 1)
    assert (mirrored.tied, mirrored.nearest, mirrored.distance) == (1, 1, pytest.approx(0.02))
    assert (bordered.tied, bordered.nearest, bordered.distance) == (0, 0, pytest.approx(0.3))


def test_latencies_leave_out_what_never_came() -> None:
    made = [entry(n, outcome="accept", verdict_ms=float(n)) for n in range(1, 101)]
    (verdict,) = latencies([*made, entry(101, outcome="missing")])
    assert (verdict.count, verdict.p50, verdict.p90, verdict.p99, verdict.longest) == (100, 50, 90, 99, 100)
