"""Results of several parts become one list."""

import numpy as np
import pytest

from tests.unit.index.indexing import unit_rows
from worker.index.neighbour import Neighbour, ascending, cosine_distances, nearest, products


def test_the_nearest_of_all_come_first():
    found = [Neighbour("c", 0.3), Neighbour("a", 0.1), Neighbour("b", 0.2)]
    assert [near.image_id for near in nearest(found, 2)] == ["a", "b"]


def test_equal_distances_are_in_the_order_of_their_ids():
    found = [Neighbour(image_id, 0.5) for image_id in ("c", "a", "b")]
    assert [near.image_id for near in nearest(found, 3)] == ["a", "b", "c"]


def test_fewer_than_asked_for_are_all_that_there_are():
    assert nearest([Neighbour("a", 0.1)], 5) == [Neighbour("a", 0.1)]
    assert nearest([], 5) == []


def test_distances_are_those_of_each_vector_alone():
    rows = unit_rows(np.random.default_rng(3), 50)
    each = [cosine_distances(row[None], rows[0])[0] for row in rows]
    assert cosine_distances(rows, rows[0]).tolist() == each
    assert each == pytest.approx((1 - rows @ rows[0]).tolist(), abs=1e-6)
    assert (each[0], cosine_distances(-rows[:1], rows[0])[0]) == (0, 2)


@pytest.mark.parametrize("number", [0, 1, 4, 40])
def test_products_are_those_of_all_with_all(number):
    queries, vectors = (unit_rows(np.random.default_rng(seed), size) for seed, size in ((1, number), (2, 70)))
    found = products(queries, vectors)
    assert found.shape == (number, 70)
    assert found.flags.c_contiguous
    assert found == pytest.approx(np.einsum("nd,md->nm", queries, vectors), abs=1e-6)


@pytest.mark.parametrize("few", [1, 3, 7, 100, 2**63])
def test_ascending_gives_every_place_once_in_order(few):
    distances = np.float32([3, 1, 2, 1, 1, 0, 2, 5])
    places = list(ascending(distances, few))
    assert sorted(places) == list(range(8))
    assert distances[places].tolist() == sorted(distances.tolist())
