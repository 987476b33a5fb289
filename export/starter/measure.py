"""Figures of a finished scorer on images that it was not trained on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from export.metrics import Share
from export.starter.parts import THRESHOLD

Scores = Mapping[str, NDArray[np.float32]]


def blocked(scores: Scores) -> NDArray[np.bool_]:
    """Which images the default policy blocks, for either reason."""
    result: NDArray[np.bool_] = (scores["text"] >= THRESHOLD) | (scores["qr"] >= THRESHOLD)
    return result


def share_blocked(scores: Scores) -> Share:
    """How many images of a set are blocked."""
    hits = blocked(scores)
    return Share.of(hits)


def auroc(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Area under the ROC curve of a score that should be higher inside."""
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return round(float(roc_auc_score(truth, np.concatenate([inside, outside]))), 5)
