"""How a near-duplicate is decided, and that a group stays what it is whoever comes and goes."""

from contextlib import closing

import numpy as np
import pytest

from tests.unit.index.indexing import axis, open_index, turned
from worker.index.attributes import Attributes
from worker.index.backend import Change
from worker.index.groups import Grouping, founded_by

BY_COPY = 0.02


def uploaded(image_id, angle, copy_angle=None, direction=1, founds=None):
    """An image at `angle` from axis 0, and its copy vector, of two numbers."""
    group = founded_by((founds or image_id).encode().hex().ljust(16, "0"))
    copy = None if copy_angle is None else np.float32([np.cos(copy_angle), np.sin(copy_angle)])
    return Change(
        image_id,
        turned(axis(0), axis(direction), angle),
        Attributes(tags=("red",), group=group, copy_vector=copy),
    )


@pytest.fixture(params=[False, True])
def index(tmp_path, request):
    """Of a tail, or built into segments after each batch."""
    with closing(open_index(tmp_path)) as opened:
        opened.is_built = request.param
        yield opened


def judged(index, *changes, copy_distance=BY_COPY):
    found = Grouping(index, 0.05, 10, copy_distance).change_each(changes)
    if index.is_built:
        index.turn()
        index.turn()
    return found


def groups(index, *image_ids):
    return [each.group for each in index.attributes_of(image_ids)]


def test_copy_vectors_decide_where_both_have_one(index):
    judged(index, uploaded("a", 0.0, 0.0), uploaded("b", 0.1, 1.0), uploaded("old", 0.05))
    (each,) = judged(index, uploaded("c", 0.02, 0.1))
    assert [(near.image_id, near.decided_by) for near in each.near] == [
        ("a", "copy"),
        ("old", "similar"),
    ], "a copy vector tells that b is none"
    assert each.near[0].copy_distance == pytest.approx(1 - np.cos(0.1), abs=1e-6)
    assert each.near[1].copy_distance is None
    assert groups(index, "a", "c") == [each.group] * 2
    assert groups(index, "b") != [each.group], "alike is not the same"
    assert groups(index, "old") == [each.group], "which no copy vector could tell"
    assert index.attributes_of(["c"])[0].tags == ("red",)


def test_a_copy_is_found_however_far_its_embedding_is(index):
    judged(index, uploaded("a", 0.0, 0.3), uploaded("near", 0.01, 2.0))
    first, second = judged(index, uploaded("b", np.pi / 2, 0.2), uploaded("c", 3.0, 0.25))
    assert [(near.image_id, near.decided_by) for near in first.near] == [("a", "copy")]
    assert first.near[0].distance == pytest.approx(1.0, abs=1e-6)
    assert {near.image_id for near in second.near} == {"a", "b"}
    assert groups(index, "a", "b", "c") == [groups(index, "a")[0]] * 3
    assert groups(index, "near") != groups(index, "a")


def test_a_deleted_copy_and_one_with_another_picture_are_found_no_more(index):
    judged(index, *(uploaded(name, angle, 0.3) for name, angle in (("a", 0.0), ("b", 1.0), ("c", 2.0))))
    judged(index, Change("a", None), uploaded("b", 1.0, 1.5, founds="another"))
    (found,) = judged(index, uploaded("d", 3.0, 0.3))
    assert [near.image_id for near in found.near] == ["c"]
    (found,) = judged(index, uploaded("e", 0.5, 1.5))
    assert [near.image_id for near in found.near] == ["b"]


def test_copies_come_first_and_count_among_all_that_is_told(index):
    judged(index, *(uploaded(f"copy {n}", n / 3, 0.1 + n / 100) for n in range(8)))
    judged(index, *(uploaded(f"old {n}", 0.01) for n in range(5)))
    (found,) = judged(index, uploaded("new", 0.0, 0.1))
    told = [near.image_id for near in found.near]
    assert told == [*(f"copy {n}" for n in range(8)), "old 0", "old 1"]


def test_without_copy_vectors_similar_images_are_a_group(index):
    for distance in (None, BY_COPY):
        first, second = judged(index, uploaded("a", 0.0), uploaded("b", 0.1), copy_distance=distance)
        assert first.group == second.group
        assert [near.decided_by for near in second.near] == ["similar"]


def test_the_nearest_copy_s_group_is_joined_and_groups_never_merge(index):
    judged(index, uploaded("a", 0.0, 0.0), uploaded("b", 0.0, 0.3))
    judged(index, uploaded("between", 0.0, 0.17))
    group_a, group_b, between = groups(index, "a", "b", "between")
    assert group_a != group_b
    assert between == group_b


def test_a_group_outlives_its_founder_and_equal_files_name_it_alike(index):
    (founded,) = judged(index, uploaded("a", 0.0, 0.0))
    judged(index, uploaded("b", 0.0, 0.1))
    judged(index, Change("a", None))
    assert groups(index, "a", "b") == [None, founded.group]
    (again,) = judged(index, uploaded("c", 0.0, 0.0, founds="a"))
    assert again.group == founded.group
    (other,) = judged(index, uploaded("a", 1.0, 2.0, founds="another picture"))
    assert other.group not in {founded.group, None}


def test_an_image_that_comes_again_with_its_picture_stays_in_its_group(index):
    judged(index, uploaded("a", 0.0, 0.0), uploaded("b", 0.0, 0.1))
    judged(index, Change("a", None))
    before = groups(index, "b")
    (again,) = judged(index, uploaded("b", 0.0, 0.1))
    assert [again.group] == before == groups(index, "b")


def test_within_one_batch_each_change_sees_what_came_before_it_alone(index):
    results = judged(
        index,
        uploaded("a", 0.0, 0.0),
        uploaded("b", 0.0, 0.1),
        uploaded("a", 1.5, 1.5, direction=2, founds="another"),
        uploaded("c", 0.0, 0.05),
        Change("b", None),
        uploaded("b", 1.0, 2.0, direction=3, founds="third"),
        Change("c", None),
    )
    first, second, replaced, third, *_ = results
    assert first.group == second.group == third.group != replaced.group
    assert [near.image_id for near in third.near] == ["b"]
    assert groups(index, "a", "c") == [replaced.group, None]
    assert index.attributes_of(["b"])[0].group == results[5].group != second.group
    assert index.vector("c") is None
