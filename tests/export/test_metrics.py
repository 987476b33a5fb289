import numpy as np
import pytest

from export.errors import DatasetError
from export.metrics import (
    Fusion,
    ScoreScale,
    best_f1_threshold,
    calibration,
    curves,
    f1,
    measure,
    summary,
    threshold_at_false_positives,
    threshold_at_recall,
)

RNG = np.random.default_rng(0)


def test_figures_of_known_scores() -> None:
    measured = measure(np.array([0.9, 0.8, 0.2]), np.array([0.1, 0.3, 0.85, 0.0]), threshold=0.5)
    assert measured.recall == pytest.approx(2 / 3)
    assert measured.false_positive_rate == pytest.approx(1 / 4)
    assert measured.accuracy == pytest.approx(5 / 7)
    assert measured.auroc == pytest.approx(9 / 12)
    assert (measured.positives, measured.negatives) == (3, 4)


@pytest.mark.parametrize(
    ("count", "rate", "allowed"), [(1000, 0.003, 3), (300, 0.003, 0), (10, 0.5, 5), (1, 0.003, 0)]
)
def test_a_threshold_lets_no_more_through_than_allowed(count: int, rate: float, allowed: int) -> None:
    scores = RNG.permutation(np.arange(count, dtype=np.float64))
    threshold = threshold_at_false_positives(scores, rate)
    assert (scores >= threshold).sum() == allowed


def test_equal_scores_at_the_threshold_stay_under_it() -> None:
    assert (np.ones(100) >= threshold_at_false_positives(np.ones(100), 0.1)).sum() == 0
    with pytest.raises(DatasetError, match="needs at least one image"):
        threshold_at_false_positives(np.array([]), 0.1)


def test_a_threshold_by_recall_needs_targets_alone() -> None:
    scores = RNG.normal(size=1000)
    assert (scores >= threshold_at_recall(scores, 0.95)).mean() == pytest.approx(0.95, abs=0.002)


def test_the_best_f1_is_the_best() -> None:
    positive, negative = RNG.normal(1, 1, 200), RNG.normal(-1, 1, 100)
    best = f1(positive, negative, best_f1_threshold(positive, negative))
    assert best == pytest.approx(max(f1(positive, negative, t) for t in np.concatenate([positive, negative])))


def test_curves_run_from_end_to_end() -> None:
    points = curves(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert (points.true_positive_rate[0], points.true_positive_rate[-1]) == (0, 1)
    assert points.false_positive_rate[points.true_positive_rate.argmax()] == 0
    assert points.precision[0] == 0.5


def test_calibration_of_honest_and_of_boastful_scores() -> None:
    chance = RNG.random(20_000)
    truth = RNG.random(20_000) < chance
    assert calibration(chance[truth], chance[~truth]).expected_error < 0.02
    assert calibration(np.full(500, 0.99), np.full(500, 0.99)).expected_error == pytest.approx(0.49)


def test_fusion_is_not_outvoted_by_a_score_of_the_wrong_sign() -> None:
    good, flipped = RNG.normal(0, 1, 300), RNG.normal(0, 1, 300)
    fusion = Fusion.fit({"good": good, "flipped": flipped})
    fused = fusion({"good": good, "flipped": flipped})
    products = fusion({"good": RNG.normal(-8, 1, 300), "flipped": RNG.normal(20, 1, 300)})
    assert products.max() < np.quantile(fused, 0.05)


def test_fusion_of_scores_without_spread() -> None:
    fusion = Fusion.fit({"same": np.zeros(5)})
    assert np.isfinite(fusion({"same": np.array([0.0, -1.0])})).all()


def test_scaled_scores() -> None:
    scale = ScoreScale.fit(-2.0, np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(scale(np.array([-2.0, 0.0])), [0.5, 0.95])
    assert scale(np.array([-1e9]))[0] >= 0
    assert ScoreScale.fit(5.0, np.array([0.0])).slope > 0


def test_summary_over_seeds() -> None:
    assert summary([1.0, 3.0]) == {
        "mean": 2.0,
        "spread": pytest.approx(2**0.5),
        "lowest": 1.0,
        "highest": 3.0,
    }
    assert summary([1.0])["spread"] == 0.0
