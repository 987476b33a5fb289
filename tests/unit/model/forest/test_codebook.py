"""A codebook: at most a byte a number, and few enough questions for sixteen bits."""

import numpy as np
import pytest

from schemas.forest import MOST_QUESTIONS
from worker.model.forest.codebook import fit_codebook


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def test_a_code_counts_the_cuts_that_are_reached(rng):
    vectors = rng.normal(size=(2000, 3)).astype(np.float32)
    book = fit_codebook(vectors, cuts=255)
    assert np.diff(book.first.astype(int)).tolist() == [255, 255, 255]
    codes = book.encode(vectors)
    own = book.cuts[book.first[1] : book.first[2]]
    np.testing.assert_array_equal(codes[:, 1], (vectors[:, 1, np.newaxis] >= own).sum(axis=1))
    assert codes.min() == 0
    assert codes.max() == 255
    np.testing.assert_allclose(np.bincount(codes[:, 0]), 2000 / 256, atol=2)


def test_few_different_numbers_get_a_cut_between_each(rng):
    vectors = rng.integers(0, 4, (500, 2)).astype(np.float32)
    book = fit_codebook(vectors)
    assert book.cuts.tolist() == [0.5, 1.5, 2.5] * 2
    np.testing.assert_array_equal(book.encode(vectors), vectors.astype(np.uint8))


def test_wide_vectors_get_fewer_cuts_each(rng):
    book = fit_codebook(rng.normal(size=(300, 1152)).astype(np.float32), cuts=255)
    assert len(book.cuts) <= MOST_QUESTIONS
    assert np.diff(book.first.astype(int)).min() > 40


def test_numbers_beyond_those_that_were_seen_have_the_outermost_codes(rng):
    book = fit_codebook(rng.normal(size=(400, 1)).astype(np.float32))
    most = len(book.cuts)
    assert book.encode(np.array([[-1e30], [1e30]], np.float32)).ravel().tolist() == [0, most]
