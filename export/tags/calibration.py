"""Calibration of one tag: margins of held-back senders to a probability, and the threshold that is best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]
_MOST_KNOTS = 32
_LEAST_THRESHOLD, _MOST_THRESHOLD = 0.05, 0.95


@dataclass(frozen=True)
class Calibration:
    """Slope and offset of Platt's sigmoid, and knots float32 [k, 2] of isotonic regression, if asked for."""

    slope: float
    offset: float
    knots: NDArray[np.float32]

    def __call__(self, margins: Floats) -> Floats:
        """Probabilities of margins."""
        if len(self.knots):
            return np.interp(margins, self.knots[:, 0], self.knots[:, 1])
        return np.asarray(0.5 * (1 + np.tanh(0.5 * (self.slope * margins + self.offset))))


def fit_calibration(kind: str, margins: Floats, labels: NDArray[np.bool_], weights: Floats) -> Calibration:
    """Of margins [n] that were not trained on, labels [n], and how many images each stands for [n]."""
    slope, offset = _platt(margins, labels, weights)
    knots = np.empty((0, 2), np.float32)
    if kind == "isotonic":
        knots = _isotonic(margins, labels, weights)
    return Calibration(slope, offset, knots)


def best_threshold(probabilities: Floats, labels: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """The probability from which F1 is best, and that F1."""
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(weights[order] * labels[order])
    named = np.cumsum(weights[order])
    f1 = 2 * hits / (named + (weights * labels).sum())
    # Only between two different probabilities is there room for a threshold.
    last = np.append(probabilities[order][1:] < probabilities[order][:-1], True)
    best = int(np.argmax(np.where(last, f1, -1.0)))
    threshold = float(np.clip(probabilities[order][best], _LEAST_THRESHOLD, _MOST_THRESHOLD))
    return threshold, float(f1[best])


def _platt(margins: Floats, labels: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Platt (1999) with his targets, by Newton's method (Lin, Lin, Weng 2007); the slope is positive."""
    yes, no = float((weights * labels).sum()), float((weights * ~labels).sum())
    target = np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))
    at = np.array([1.0, 0.0])
    columns = np.stack([margins, np.ones_like(margins)], axis=1)

    def loss(of: Floats) -> float:
        x = columns @ of
        return float((weights * (np.logaddexp(0, x) - target * x)).sum())

    now = loss(at)
    for _ in range(50):
        p = 0.5 * (1 + np.tanh(0.5 * (columns @ at)))
        gradient = columns.T @ (weights * (p - target))
        hessian = (columns * (weights * p * (1 - p))[:, np.newaxis]).T @ columns + 1e-9 * np.eye(2)
        step, length = np.linalg.solve(hessian, gradient), 1.0
        while length > 1e-6 and (then := loss(at - length * step)) > now:
            length /= 2
        if length <= 1e-6 or now - then < 1e-9 * (1 + abs(now)):
            break
        at, now = at - length * step, then
    if at[0] < 1e-3:
        # The margins say nothing of held-back senders: everyone gets the tag's share.
        return 1e-3, float(np.log((yes + 1) / (no + 1)))
    return float(at[0]), float(at[1])


def _isotonic(margins: Floats, labels: NDArray[np.bool_], weights: Floats) -> NDArray[np.float32]:
    """At most `_MOST_KNOTS` knots, ascending in both."""
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(margins, labels, weights)
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    middles = [(x[y == level].mean(), level) for level in np.unique(y)]
    chosen = np.unique(np.linspace(0, len(middles) - 1, min(len(middles), _MOST_KNOTS)).round().astype(int))
    knots = np.array([middles[i] for i in chosen], np.float32)
    rising = np.append(True, (np.diff(knots, axis=0) > 0).all(axis=1))
    return knots[rising] if rising.sum() > 1 else np.empty((0, 2), np.float32)
