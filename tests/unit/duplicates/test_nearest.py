"""The nearest others of each image."""

import numpy as np

from worker.duplicates import nearest as module
from worker.duplicates.nearest import nearest


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_it_is_exact_over_block_borders(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    vectors = unit(np.random.default_rng(0).normal(size=(40, 8)))
    found = dict(nearest(vectors, range(40), 3))
    similar = vectors @ vectors.T
    for row in range(40):
        others = [int(i) for i in np.argsort(-similar[row]) if i != row][:3]
        assert [other for other, _ in found[row]] == others
        np.testing.assert_allclose([d for _, d in found[row]], 1 - similar[row][others], atol=1e-6)


def test_equal_vectors_are_at_distance_0_and_none_is_its_own_neighbour():
    vectors = np.tile(unit(np.ones((1, 4))), (5, 1))
    for row, near in nearest(vectors, range(5), 10):
        assert sorted(other for other, _ in near) == [i for i in range(5) if i != row]
        assert all(0 <= distance < 1e-6 for _, distance in near)


def test_one_image_has_no_neighbour():
    assert list(nearest(unit(np.ones((1, 4))), [0], 3)) == []
    assert list(nearest(np.zeros((0, 1), np.float32), [], 3)) == []
