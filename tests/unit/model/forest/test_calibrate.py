"""Probabilities rise with margins, and the least margin of one is where it is reached."""

import numpy as np
import pytest

from tests.forests import drawn_forest
from worker.model.forest.calibrate import least_margins, probabilities
from worker.model.forest.file import open_forest


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    path = tmp_path_factory.mktemp("forest") / "tags.forest"
    drawn_forest(path, np.random.default_rng(7))
    return open_forest(path)


def probability(forest, tag, margin):
    return float(probabilities(forest, np.array([tag], np.uint32), np.array([margin], np.float32))[0])


def test_a_sigmoid_of_slope_and_offset(forest):
    own = forest.tags[2]
    assert probability(forest, 2, 0.7) == pytest.approx(
        1 / (1 + np.exp(-(own["slope"] * 0.7 + own["offset"]))), abs=1e-6
    )
    assert probability(forest, 2, 1e30) == 1
    assert probability(forest, 2, -1e30) == 0


def test_knots_are_joined_by_lines_and_end_flat(forest):
    last = len(forest.tags) - 1
    got = [probability(forest, last, margin) for margin in (-9, -1, -0.5, 1, 2, 9)]
    assert got == pytest.approx([0.1, 0.1, 0.25, 0.65, 0.9, 0.9], abs=1e-6)


@pytest.mark.parametrize("asked", [0.05, 0.3, 0.5, 0.85])
def test_the_least_margin_has_the_probability_that_was_asked(forest, asked):
    least = least_margins(forest, np.full(len(forest.tags), asked, np.float32))
    for tag, margin in enumerate(least):
        if np.isfinite(margin):
            assert probability(forest, tag, margin) == pytest.approx(asked, abs=1e-5)
    assert np.isneginf(least[-1]) == (asked <= 0.1)


def test_nothing_reaches_more_than_one_and_all_reach_nothing(forest):
    count = len(forest.tags)
    assert np.isposinf(least_margins(forest, np.full(count, 1.5, np.float32))).all()
    assert np.isneginf(least_margins(forest, np.zeros(count, np.float32))).all()
    assert np.isposinf(least_margins(forest, np.full(count, 0.95, np.float32))[-1])
