"""Which of two kinds of vectors decides, in every part of the index and at the moment of each change."""

import numpy as np
import pytest

from tests.unit.index.indexing import axis, filled, open_directory, snapshot, turned
from worker.index.attributes import Attributes
from worker.index.backend import Change


def change(image_id, angle, copy_angle=None):
    copy = None if copy_angle is None else np.float32([np.cos(copy_angle), np.sin(copy_angle)])
    return Change(image_id, turned(axis(0), axis(1), angle), Attributes(copy_vector=copy))


def ids(found):
    return sorted(each.image_id for each in found)


@pytest.fixture(params=["tail", "being built", "segment"])
def live(tmp_path, request):
    """Images that are near, far, and a copy of one at 0, with a copy vector and without."""
    opened, _ = filled(0)
    opened.change_each(
        [
            change("near, a copy", 0.01, 0.01),
            change("near, no copy", 0.01, 1.0),
            change("near, without", 0.01),
            change("far, a copy", 1.5, 0.01),
            change("far, without", 1.5),
        ],
        9,
        0.01,
    )
    if request.param == "being built":
        opened.freeze()
    if request.param == "segment":
        snapshot(opened, open_directory(tmp_path))
    return opened


@pytest.mark.parametrize(
    ("copy_angle", "copy_radius", "copies", "similar"),
    [
        (0.0, 0.01, ["far, a copy", "near, a copy"], ["near, without"]),
        (None, 0.01, [], ["near, a copy", "near, no copy", "near, without"]),
        (0.0, None, [], ["near, a copy", "near, no copy", "near, without"]),
    ],
    ids=["with a copy vector", "without one", "where copies are not looked for"],
)
def test_of_two_copy_vectors_these_decide_and_else_the_embeddings(
    live, copy_angle, copy_radius, copies, similar
):
    (found,) = live.change_each([change("new", 0.0, copy_angle)], 9, 0.01, copy_radius)
    assert (ids(found.copies), ids(found.similar)) == (copies, similar)
    assert all(abs(each.distance - (1 - np.cos(0.01))) < 1e-6 for each in (*found.copies, *found.similar))


def test_each_is_of_its_own_moment_and_never_found_by_itself(live):
    changes = [
        change("one", 3.0, 0.0),
        Change("far, a copy", None),
        change("near, a copy", 0.0, 2.0),
        change("two", 2.0, 0.0),
        change("one", 0.0, 0.0),
    ]
    found = live.change_each(changes, 9, 0.01, 0.01)
    assert [ids(each.copies) for each in found] == [
        ["far, a copy", "near, a copy"],
        [],
        [],
        ["one"],
        ["two"],
    ]
    assert [ids(each.similar) for each in found] == [[], [], ["near, without"], [], ["near, without"]]


def test_the_nearest_of_each_kind_are_told(live):
    live.change_each([change(f"{n}", 0.0, n / 1000) for n in range(5)], 9, 0.01)
    (found,) = live.change_each([change("new", 0.0, 0.0)], 2, 0.01, 0.01)
    assert [each.image_id for each in found.copies] == ["0", "1"]


def test_of_many_that_are_equal_as_many_as_are_asked_for_are_told(live, tmp_path):
    """A picture that stands in for missing ones comes thousands of times, and is deleted now and then."""
    alike = [change(f"copy {n:03}", 2.0, 2.0) for n in range(200)]
    live.change_each(alike, 3, 0.01, 0.01)
    if live.segments:
        snapshot(live, open_directory(tmp_path))
    live.change_each([each._replace(vector=None) for each in alike[:150]], 3, 0.01, 0.01)
    live.change_each([change("nearer", 2.0, 2.05)], 3, 0.01, 0.01)
    (copies,) = live.change_each([change("new", 0.0, 2.04)], 3, 0.01, 0.01)
    assert copies.copies[0].image_id == "nearer"
    assert set(ids(copies.copies)[:2]) < {f"copy {n:03}" for n in range(150, 200)}
    (similar,) = live.change_each([change("old", 2.0)], 60, 0.01, 0.01)
    assert ids(similar.similar) == [*(f"copy {n:03}" for n in range(150, 200)), "nearer"]
