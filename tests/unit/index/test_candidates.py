"""The nearest of several parts, chosen for several queries at once."""

import numpy as np
import pytest

from tests.unit.index.indexing import DIM, axis, turned, unit_rows
from worker.index.candidates import (
    Candidates,
    Part,
    compared,
    joined,
    limits_among,
    nearest_among,
)
from worker.index.neighbour import Neighbour, products

UNLIMITED = np.full(2, np.inf, np.float32)


def candidates(*found):
    """Candidates of (query, row, distance)."""
    whose, rows, distances = zip(*found, strict=True)
    return Candidates(np.array(whose), np.array(rows), np.float32(distances))


def everything(rows):
    return np.ones(len(rows), np.bool_)


def test_limits_are_how_far_the_nearest_reach():
    found = candidates((1, 0, 0.5), (0, 3, 0.25), (1, 4, 0.1), (1, 5, 1.9), (3, 9, 0.0))
    assert found.limits(4, 2).tolist() == pytest.approx([np.inf, 0.5, np.inf, np.inf], abs=1e-5)
    assert found.limits(4, 1).tolist() == pytest.approx([0.25, 0.1, np.inf, 0], abs=1e-5)
    assert limits_among([], 2, 1).tolist() == [np.inf, np.inf]


def test_what_rounding_cannot_tell_from_the_nearest_is_among_them():
    distances = np.float32([[0.5, 0.1, 0.3, 0.3 + 3e-8, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5]])
    found = compared(distances, np.arange(10, 15), 3, UNLIMITED, everything)
    assert found.rows.tolist() == [11, 12, 13, 14, 10, 11, 12]
    assert found.whose.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert len(compared(distances, np.arange(5), 9, UNLIMITED, everything).rows) == 10


def test_what_counts_no_more_does_not_cost_results():
    distances = 1 - products(np.stack([axis(0), axis(1)]), unit_rows(np.random.default_rng(1), 100))
    rows, dead = np.arange(100), np.argsort(distances[0])[:40]
    found = compared(distances, rows, 3, UNLIMITED, lambda rows: ~np.isin(rows, dead))
    assert (found.counts(2) >= 3).all()
    assert not np.isin(found.rows, dead).any()
    limits = np.float32([distances[0].max(), distances[1].min()])
    found = compared(distances, rows, 3, limits, everything)
    assert found.counts(2).tolist() == [100, 1], "all that is within the limits, and no more"


def test_the_nearest_of_all_parts_are_in_the_order_of_their_ids_where_they_are_equal():
    near, far = axis(0), turned(axis(0), axis(1), 0.1)
    vectors = [np.stack([far, near]), np.stack([near, axis(2)])]
    names = [(("f", "g"), ("c",)), (("a", "b"), ("z",))]
    queries = np.stack([near, axis(2), -axis(2)])
    parts = [
        Part(
            compared(1 - products(queries, rows), np.arange(2), 9, np.full(3, np.inf), everything),
            rows.__getitem__,
            lambda row, most, ids=ids: ids[row][:most],
        )
        for rows, ids in zip(vectors, names, strict=True)
    ]
    found = nearest_among(parts, queries, 4)
    assert [near.image_id for near in found[0]] == ["a", "b", "c", "f"]
    assert found[0][0] == Neighbour("a", 0.0)
    assert found[0][3].distance == pytest.approx(1 - np.cos(0.1), abs=1e-6)
    assert found[1][0] == Neighbour("z", 0.0)
    assert [near.image_id for near in nearest_among(parts, queries, 9)[2]][-1] == "z"


def test_parts_that_have_nothing_give_nothing():
    empty = compared(np.empty((2, 0), np.float32), np.arange(0), 3, UNLIMITED, everything)
    part = Part(empty, np.empty((0, DIM), np.float32).__getitem__, lambda *_: ())
    assert nearest_among([part, part], np.stack([axis(0), axis(1)]), 3) == [[], []]
    assert not len(joined([empty, empty]).rows)
