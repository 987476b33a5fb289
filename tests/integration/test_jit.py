"""The kernel that numba compiles routes every image as the compiled one does (seconds of compiling)."""

import numpy as np

from tests.forests import DIM, drawn_forest, walked
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import open_forest
from worker.model.forest.jit import JitKernel


def test_margins_are_those_of_a_walk(tmp_path):
    rng = np.random.default_rng(9)
    drawn_forest(tmp_path / "tags.forest", rng, tags=20)
    forest = open_forest(tmp_path / "tags.forest")
    vectors = rng.normal(size=(600, DIM)).astype(np.float32)
    evaluator, expected = Evaluator(forest, JitKernel(), 2), walked(forest, vectors)
    for count in (1, 65, 600):
        np.testing.assert_allclose(evaluator.margins(vectors[:count]), expected[:count], atol=2e-4)
    hits = evaluator.hits(vectors, np.full(20, 0.5, np.float32))
    assert len(hits.tags) == (evaluator.margins(vectors) >= 0.5).sum() > 100
    evaluator.close()
