"""Every kernel routes every image as a walk through the trees does."""

from functools import partial

import numpy as np
import pytest

from tests.forests import DIM, drawn_forest, walked
from worker.errors import BundleError
from worker.model.forest.bits import BitsKernel
from worker.model.forest.compiled import WIDTHS, CompiledKernel
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import open_forest

KERNELS = {"numpy": BitsKernel} | {name: partial(CompiledKernel, width) for width, name in WIDTHS.items()}


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    path = tmp_path_factory.mktemp("forest") / "tags.forest"
    drawn_forest(path, np.random.default_rng(5), tags=300, trees=1)
    return open_forest(path)


@pytest.fixture(scope="module")
def vectors(forest):
    """Normal numbers, some of them cuts: those are reached."""
    found = np.random.default_rng(6).normal(size=(600, DIM)).astype(np.float32)
    found[::3, 0] = forest.codebook.cuts[:200]
    return found


@pytest.fixture(scope="module")
def expected(forest, vectors):
    return walked(forest, vectors)


@pytest.fixture(params=KERNELS, scope="module")
def evaluator(request, forest):
    try:
        kernel = KERNELS[request.param]()
    except BundleError as error:
        pytest.skip(str(error))
    found = Evaluator(forest, kernel, 2)
    yield found
    found.close()


@pytest.mark.parametrize("count", [0, 1, 64, 129, 257, 600])
def test_margins_are_those_of_a_walk_whatever_the_batch(evaluator, vectors, expected, count):
    got = evaluator.margins(vectors[:count])
    assert got.shape == (count, 300)
    np.testing.assert_allclose(got, expected[:count], atol=2e-4)


def test_hits_are_the_margins_that_reach_what_is_asked(evaluator, vectors):
    margins = evaluator.margins(vectors)
    # For one tag nothing, for another everything: more than there is room for at first.
    least = np.full(300, 1.5, np.float32)
    least[3], least[4] = np.inf, -np.inf
    least[260:290] = -np.inf
    hits = evaluator.hits(vectors, least)
    found = np.full(margins.shape, np.nan, np.float32)
    found[hits.images, hits.tags] = hits.margins
    assert len(hits.tags) == (margins >= least).sum()
    np.testing.assert_array_equal(found, np.where(margins >= least, margins, np.nan))


def test_a_row_is_the_same_alone(evaluator, vectors):
    together = evaluator.margins(vectors[:40])
    for row in (0, 17, 39):
        np.testing.assert_array_equal(evaluator.margins(vectors[row : row + 1])[0], together[row])
