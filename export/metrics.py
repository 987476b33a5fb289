"""What an evaluation measures: ranking, thresholds, errors at a threshold, calibration.

Scores are float64 [n], higher means more of the target class. Thresholds are never chosen on the images that
are measured.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from export.errors import DatasetError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One score on one set: ranking without a threshold, and the errors at `threshold`."""

    auroc: float
    average_precision: float
    threshold: float
    recall: float
    false_positive_rate: float
    accuracy: float
    positives: int
    negatives: int

    def to_json(self) -> dict[str, float | int]:
        """For metrics.jsonl and the report."""
        return asdict(self)


@dataclass(frozen=True)
class Curves:
    """Points of the ROC and precision-recall curves."""

    false_positive_rate: Values
    true_positive_rate: Values
    recall: Values
    precision: Values


def measure(positive: Values, negative: Values, threshold: float) -> Measured:
    """Measure scores of target images and of others; an image counts as target from `threshold` on."""
    truth = _truth(positive, negative)
    scores = np.concatenate([positive, negative])
    recall = float((positive >= threshold).mean())
    false_positives = float((negative >= threshold).mean())
    right = (positive >= threshold).sum() + (negative < threshold).sum()
    return Measured(
        auroc=float(roc_auc_score(truth, scores)),
        average_precision=float(average_precision_score(truth, scores)),
        threshold=float(threshold),
        recall=recall,
        false_positive_rate=false_positives,
        accuracy=float(right / len(scores)),
        positives=len(positive),
        negatives=len(negative),
    )


def threshold_at_false_positives(negative: Values, rate: float) -> float:
    """The lowest threshold that at most `rate` of these scores reach.

    Of 300 images at 0.3 % that is: none above it. The fewer the images, the coarser the promise.

    Raises:
        DatasetError: there is no score to set it on.

    """
    if len(negative) == 0:
        raise DatasetError("a threshold needs at least one image that is not of the target class")
    allowed = int(np.floor(rate * len(negative)))
    highest = np.sort(negative)[::-1]
    return float(np.nextafter(highest[allowed], np.inf)) if allowed < len(highest) else float(highest[-1])


def threshold_at_recall(positive: Values, recall: float) -> float:
    """The highest threshold that at least `recall` of these scores reach: needs the target class alone."""
    return float(np.quantile(positive, 1 - recall, method="lower"))


def best_f1_threshold(positive: Values, negative: Values) -> float:
    """The threshold of the highest F1 of the target class on these scores."""
    precision, recall, thresholds = precision_recall_curve(
        _truth(positive, negative), np.concatenate([positive, negative])
    )
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def f1(positive: Values, negative: Values, threshold: float) -> float:
    """F1 of the target class at a threshold."""
    scores = np.concatenate([positive, negative])
    return float(f1_score(_truth(positive, negative), scores >= threshold))


def curves(positive: Values, negative: Values) -> Curves:
    """ROC and precision-recall curves of scores of target images and of others."""
    truth, scores = _truth(positive, negative), np.concatenate([positive, negative])
    false_positive_rate, true_positive_rate, _ = roc_curve(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    return Curves(false_positive_rate, true_positive_rate, recall, precision)


@dataclass(frozen=True)
class Calibration:
    """Mean probability and share of targets by bin, and their mean gap weighted by bin size (ECE)."""

    predicted: Values
    observed: Values
    expected_error: float


def calibration(positive: Values, negative: Values, bins: int = 10) -> Calibration:
    """Reliability of probabilities in [0, 1]; hangs on the shares of target and other images given."""
    truth, scores = _truth(positive, negative), np.concatenate([positive, negative])
    observed, predicted = calibration_curve(truth, scores, n_bins=bins)
    held = np.bincount(np.clip((scores * bins).astype(int), 0, bins - 1), minlength=bins)
    weights = held[held > 0] / len(scores)
    return Calibration(predicted, observed, float(np.sum(weights * np.abs(observed - predicted))))


@dataclass(frozen=True)
class Fusion:
    """Several scores as one: the mean of their distances from the target class, in its own spreads.

    What a score says in favour of an image counts up to one spread only, so that a score whose sign is the
    wrong way round cannot outvote the others. Fitted on target images alone.
    """

    centres: dict[str, float]
    spreads: dict[str, float]

    @classmethod
    def fit(cls, target: Mapping[str, Values]) -> "Fusion":
        """Medians and spreads (1.4826 times the median absolute deviation) of target images' scores."""
        centres = {name: float(np.median(values)) for name, values in target.items()}
        spreads = {
            name: max(1.4826 * float(np.median(np.abs(values - centres[name]))), 1e-6)
            for name, values in target.items()
        }
        return cls(centres, spreads)

    def __call__(self, scores: Mapping[str, Values]) -> Values:
        """The fused score [n]."""
        distances = [
            np.clip((scores[name] - centre) / self.spreads[name], -100.0, 1.0)
            for name, centre in self.centres.items()
        ]
        fused: Values = np.mean(distances, axis=0)
        return fused


@dataclass(frozen=True)
class ScoreScale:
    """A score as a number in [0, 1] that serves: 0.5 at the threshold, 0.95 at the target class's median."""

    threshold: float
    slope: float

    @classmethod
    def fit(cls, threshold: float, target: Values) -> "ScoreScale":
        """From the threshold and target images' scores."""
        distance = float(np.median(target)) - threshold
        # A model whose median target lies under the threshold still gets a rising scale.
        return cls(threshold, float(np.log(19.0)) / max(distance, 1e-6))

    def __call__(self, scores: Values) -> Values:
        """Numbers in [0, 1], float64 [n]."""
        scaled: Values = 1.0 / (1.0 + np.exp(np.clip(-self.slope * (scores - self.threshold), -60, 60)))
        return scaled


@dataclass(frozen=True)
class Share:
    """`hit` of `total` images."""

    hit: int
    total: int

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> "Share":
        """How many of `hits` [n] are true."""
        return cls(int(hits.sum()), len(hits))

    @property
    def percent(self) -> float:
        """The share in percent, to two places."""
        return round(100 * self.hit / max(1, self.total), 2)

    def as_figure(self) -> dict[str, JsonValue]:
        """For the manifest."""
        return {"hit": self.hit, "total": self.total, "percent": self.percent}


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation, worst (lowest) and highest of the seeds' values."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "spread": spread, "lowest": min(values), "highest": max(values)}


def _truth(positive: Values, negative: Values) -> NDArray[np.int64]:
    return np.concatenate([np.ones(len(positive), np.int64), np.zeros(len(negative), np.int64)])
