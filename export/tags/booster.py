"""Tags: one XGBoost booster over the embedding, a probability for each name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

_PARAMETERS: dict[str, object] = {
    "objective": "binary:logistic",
    "multi_strategy": "one_output_per_tree",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.3,
    "max_bin": 64,
    "colsample_bytree": 0.4,
    "subsample": 0.8,
    "lambda": 2.0,
    "min_child_weight": 0.5,
    "nthread": 2,
}


def tag_matrix(tags: Sequence[tuple[str, ...]], names: Sequence[str]) -> NDArray[np.float32]:
    """float32 [n, names]: 1 where the image has the tag."""
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(tags), len(names)), np.float32)
    for row, own in enumerate(tags):
        for tag in own:
            if tag in column:
                matrix[row, column[tag]] = 1.0
    return matrix


def train_tags(
    embedding: NDArray[np.float32], labels: NDArray[np.float32], seed: int, rounds: int
) -> xgboost.Booster:
    """Boosted trees for every column of `labels`: embedding [n, dim], labels [n, names]."""
    matrix = xgboost.DMatrix(embedding, label=labels)
    return xgboost.train({**_PARAMETERS, "seed": seed}, matrix, num_boost_round=rounds)


def predict_tags(booster: xgboost.Booster, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [n, names], the way the worker asks for them."""
    scores: NDArray[np.float32] = booster.inplace_predict(np.ascontiguousarray(embedding, dtype=np.float32))
    return scores


def save_tags(booster: xgboost.Booster, path: Path) -> None:
    """Write the booster as UBJSON."""
    booster.save_model(path)


def tag_figures(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, float]:
    """Mean average precision over tags that occur, and how often the best-scored tag is right."""
    present = labels.sum(axis=0) > 0
    known = labels.sum(axis=1) > 0
    precision = [average_precision_score(labels[known, i], scores[known, i]) for i in np.flatnonzero(present)]
    best = scores[known].argmax(axis=1)
    return {
        "tags": int(present.sum()),
        "mean_average_precision": round(float(np.mean(precision)), 4),
        "top_1_right": round(float(labels[known][np.arange(len(best)), best].mean()), 4),
    }
