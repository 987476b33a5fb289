import numpy as np
import pytest

from tests.unit.index.indexing import unit_rows
from worker.index.ngt.cells import MAX_PROBES, group


def clustered(count):
    random = np.random.default_rng(2)
    rows = unit_rows(random, 20)[random.integers(0, 20, count)] + 0.2 * unit_rows(random, count)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cell_of(cells, row):
    return int(np.searchsorted(cells.starts, row, side="right")) - 1


@pytest.mark.parametrize("radius", [0.0, 0.001, 0.01])
def test_every_vector_within_reach_is_in_a_cell_that_is_asked(radius):
    vectors = clustered(3000)
    cells, order = group(vectors)
    vectors = vectors[order]
    queries = clustered(3000)[::60] if radius else vectors[::60]
    asked = cells.near(queries, (2 * radius) ** 0.5)
    assert asked.sum(axis=1).max() < len(cells.centroids), "without cells left out this shows nothing"
    for query, row in zip(*np.nonzero(1 - queries @ vectors.T <= radius + 1e-7), strict=True):
        assert asked[query, cell_of(cells, row)] or asked[query].sum() >= MAX_PROBES


def test_within_tells_each_pair_that_is_near_once():
    vectors = clustered(3000)
    cells, order = group(vectors)
    vectors = vectors[order]
    queries = vectors[::100]
    found = list(cells.within(lambda first, last: vectors[first:last], queries, 0.001))
    near = np.argwhere(1 - queries @ vectors.T <= 0.001).tolist()
    assert sorted([query, place] for query, places, _ in found for place in places.tolist()) == near
    for query, places, distances in found:
        assert np.abs(1 - vectors[places] @ queries[query] - distances).max() < 1e-6


def test_the_order_puts_each_vector_into_one_cell():
    vectors = clustered(500)
    cells, order = group(vectors)
    assert sorted(order) == list(range(500))
    assert cells.starts[0] == 0
    assert cells.starts[-1] == 500


def test_one_vector_and_equal_ones():
    one, order = group(clustered(1))
    assert (one.starts.tolist(), order.tolist()) == ([0, 1], [0])
    equal, order = group(np.repeat(clustered(1), 50, axis=0))
    assert equal.starts[-1] == 50
