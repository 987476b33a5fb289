import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.search import SearchFilter
from tests.unit.index.backend_contract import drawn_attributes, drawn_filter, lets_in
from worker.index.attributes import (
    Attributes,
    GrowingAttributes,
    microseconds,
    nothing_known,
    read_columns,
    together,
    write_columns,
)


@pytest.fixture
def drawn():
    """Attributes, more than the first capacity, and a tail of them."""
    chance, growing = random.Random(5), GrowingAttributes()
    known = [drawn_attributes(chance) for _ in range(600)]
    for each in known:
        growing.append(each)
    return known, growing, chance


def rows_of(columns):
    return [columns.row(row) for row in range(len(columns))]


def test_rows_come_back(drawn):
    known, growing, _ = drawn
    assert rows_of(growing.columns(600)) == known
    assert rows_of(growing.columns(3)) == known[:3]
    assert len(growing.columns(0)) == 0


def test_filters_match_row_by_row(drawn):
    known, growing, chance = drawn
    for length in (600, 599, 256, 1, 0):
        for _ in range(10):
            where = drawn_filter(chance)
            expected = [lets_in(where, each) for each in known[:length]]
            assert growing.columns(length).matching(where).tolist() == expected, where


def test_an_empty_filter_lets_everything_in(drawn):
    assert drawn[1].columns(600).matching(SearchFilter()).all()


def test_columns_of_several_parts_are_together_and_survive_the_disk(drawn, tmp_path):
    known, growing, chance = drawn
    rows = np.array([5, 3, 599, 3])
    others = GrowingAttributes()
    others.append(Attributes("only here", "l1", ("only here", "red"), 7, {"only here": 0.5, "quality": 0.25}))
    made = together(
        [(growing.columns(600), rows), (nothing_known(2), np.arange(2)), (others.columns(1), np.array([0]))]
    )
    expected = [*(known[row] for row in rows), Attributes(), Attributes(), others.columns(1).row(0)]
    assert rows_of(made) == expected
    write_columns(tmp_path / "attributes", made)
    back = read_columns(tmp_path / "attributes")
    assert rows_of(back) == expected
    for _ in range(20):
        where = drawn_filter(chance)
        assert back.matching(where).tolist() == [lets_in(where, each) for each in expected]


def test_a_view_does_not_see_what_comes_later(drawn):
    known, growing, _ = drawn
    view = growing.columns(600)
    for _ in range(1000):
        growing.append(Attributes("later", None, ("later",), 1))
    assert rows_of(view) == known
    assert not view.matching(SearchFilter(tags=["later"])).any()
    assert growing.columns(1600).matching(SearchFilter(categories=["later"])).sum() == 1000


def test_a_preference_that_no_image_has_any_more_is_not_kept(tmp_path):
    growing = GrowingAttributes()
    growing.append(Attributes(preferences={"gone": 0.5}))
    growing.append(Attributes(preferences={"quality": 0.0}))
    write_columns(tmp_path / "attributes", together([(growing.columns(2), np.array([1]))]))
    assert list(read_columns(tmp_path / "attributes").preferences) == ["quality"]


def test_scores_that_do_not_fit_the_images_are_a_fault():
    columns = replace(nothing_known(2), preferences={"quality": np.zeros(3, np.float32)})
    assert columns.faults() == ["not every image has a score of quality, or none"]


def test_columns_of_a_release_before_preferences_are_read(tmp_path):
    growing = GrowingAttributes()
    growing.append(Attributes("hats"))
    write_columns(tmp_path / "attributes", together([(growing.columns(1), np.array([0]))]))
    names = tmp_path / "attributes" / "names.json"
    told = json.loads(names.read_text())
    del told["preference"]
    names.write_text(json.dumps(told))
    assert rows_of(read_columns(tmp_path / "attributes")) == [Attributes("hats")]


def test_a_tag_that_is_told_twice_counts_once():
    growing = GrowingAttributes()
    growing.append(Attributes(tags=("red", "red")))
    assert growing.columns(1).row(0).tags == ("red",)


def test_times_are_exact():
    assert microseconds(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == 1_767_225_600_000_001
    assert microseconds(datetime(1, 1, 1, tzinfo=UTC)) < 0


def test_groups_and_copy_vectors_are_kept_through_growth_joining_and_files(tmp_path):
    growing, other = GrowingAttributes(), GrowingAttributes()
    vectors = np.random.default_rng(1).normal(size=(600, 3)).astype(np.float32)
    for number, vector in enumerate(vectors):
        copy = None if number % 3 == 0 else vector
        growing.append(Attributes(group=f"{number + 1:016x}", copy_vector=copy))
    growing.append(Attributes(copy_vector=np.ones(5, np.float32)))
    other.append(Attributes(group="f" * 16))
    joined = together([(growing.columns(601), np.arange(0, 601)), (other.columns(1), np.arange(1))])
    write_columns(tmp_path / "columns", joined)
    for columns in (joined, read_columns(tmp_path / "columns")):
        assert [columns.row(row).group for row in (0, 599, 600, 601)] == [
            *("0000000000000001", f"{600:016x}", None, "f" * 16)
        ]
        assert columns.faults() == []
        held = [columns.row(row).copy_vector for row in range(602)]
        assert all((held[row] is None) == (row % 3 == 0) for row in range(600))
        assert np.array_equal(held[400], vectors[400])
        assert held[600] is held[601] is None, "of another dimension, or none"
    (tmp_path / "columns" / "group.npy").unlink()
    (tmp_path / "columns" / "copy_vector.npy").unlink()
    assert read_columns(tmp_path / "columns").row(5) == Attributes(), "of an earlier release"
