"""Train one tag: a linear term, trees over what it leaves, calibrated on senders that were held back.

Every number of a tag hangs on its own name, its images and the recipe: trained alone, beside thousands, in
another process or on another host of the same kind, it has the same bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from export.tags.calibration import best_threshold, fit_calibration
from export.tags.recipe import TagRecipe
from export.tags.tables import TagTable, trees_of
from worker.model.forest.codebook import Codebook

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TagData:
    """Images to train on: vectors float32 and codes uint8 [n, dim], and the fold of each sender."""

    vectors: NDArray[np.float32]
    codes: NDArray[np.uint8]
    folds: NDArray[np.int8]
    codebook: Codebook
    whitened: NDArray[np.float32]

    @classmethod
    def of(
        cls, vectors: NDArray[np.float32], groups: Sequence[str], codebook: Codebook, recipe: TagRecipe
    ) -> "TagData":
        """From vectors [n, dim] and the sender of each."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        folds = np.array([_fold(group, recipe.folds) for group in groups], np.int8)
        with threadpool_limits(1):
            centred = vectors - vectors.mean(axis=0)
            spread = centred.T @ centred / len(vectors)
            spread += np.eye(len(spread), dtype=np.float32) * (0.1 * np.trace(spread) / len(spread) + 1e-12)
            whitened = centred @ np.linalg.inv(spread)
        return cls(vectors, codebook.encode(vectors), folds, codebook, whitened.astype(np.float32))


def _fold(group: str, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(f"fold\0{group}".encode()).digest()[:8], "big") % folds


@dataclass(frozen=True)
class _Rows:
    """The images that a tag is trained on, ascending, and how many each stands for."""

    at: NDArray[np.int64]
    labels: NDArray[np.bool_]
    weights: Floats
    folds: NDArray[np.int8]


def train_tag(name: str, positives: NDArray[np.int64], data: TagData, recipe: TagRecipe) -> TagTable:
    """The tag `name`, which the images `positives` have, and no others.

    Raises:
        ValueError: no image has it, or all have.

    """
    if not 0 < len(positives) < len(data.vectors):
        raise ValueError(f"{name}: {len(positives)} of {len(data.vectors)} images have it")
    with threadpool_limits(1):
        return _trained(name, positives, data, recipe)


def _trained(name: str, positives: NDArray[np.int64], data: TagData, recipe: TagRecipe) -> TagTable:
    seed = _seed(name, recipe)
    rows = _chosen(positives, data, recipe, np.random.default_rng(seed))
    base, weights, held = _linear(rows, data, recipe)
    rounds, margins = _held_back_rounds(rows, held, data, recipe, seed)
    booster = _boosted(rows, np.ones(len(rows.at), bool), held, rounds, data, recipe, seed)
    trees, scale = trees_of(booster, data.codebook)
    calibration = fit_calibration(recipe.calibration, margins, rows.labels, rows.weights)
    threshold, _ = best_threshold(calibration(margins), rows.labels, rows.weights)
    return TagTable(
        name, trees, scale,
        base=base, slope=calibration.slope, offset=calibration.offset, threshold=threshold,
        linear=weights, knots=calibration.knots, positives=len(positives), rows=len(rows.at),
        average_precision=float(average_precision_score(rows.labels, margins, sample_weight=rows.weights)),
    )  # fmt: skip


def _seed(name: str, recipe: TagRecipe) -> int:
    return int.from_bytes(hashlib.sha256(f"{recipe.seed}\0{name}".encode()).digest()[:4], "big") >> 1


def _chosen(
    positives: NDArray[np.int64], data: TagData, recipe: TagRecipe, random: np.random.Generator
) -> _Rows:
    """All images where there are few; else those with the tag, those most like it, and others at random.

    Others weigh as many as they were drawn from, so that probabilities stay those of the whole set.
    """
    count = len(data.vectors)
    has = np.zeros(count, bool)
    has[positives] = True
    weights = np.ones(count)
    if count > recipe.most_rows:
        kept = positives
        if len(kept) > recipe.most_rows // 2:
            kept = random.choice(kept, recipe.most_rows // 2, replace=False)
            weights[kept] = len(positives) / len(kept)
        others = np.flatnonzero(~has)
        room = min(recipe.most_rows - len(kept), len(others))
        likeness = data.whitened[others] @ (data.vectors[kept].mean(axis=0) - data.vectors.mean(axis=0))
        hard = np.argsort(-likeness, kind="stable")[: int(room * recipe.hard_share)]
        rest = np.delete(others, hard)
        drawn = random.choice(rest, room - len(hard), replace=False)
        weights[drawn] = len(rest) / max(1, len(drawn))
        at = np.sort(np.concatenate([kept, others[hard], drawn]))
    else:
        at = np.arange(count)
    return _Rows(at, has[at], weights[at], data.folds[at])


def _linear(
    rows: _Rows, data: TagData, recipe: TagRecipe
) -> tuple[float, NDArray[np.float32] | None, Floats]:
    """Base, weights [dim], and each row's margin from a fit that did not see its sender [rows]."""
    every = np.ones(len(rows.at), bool)
    prior = _prior(rows, every)
    if not recipe.linear:
        return prior, None, np.full(len(rows.at), prior)
    held = np.empty(len(rows.at))
    for fold in range(recipe.folds):
        out = rows.folds == fold
        intercept, weights = _logistic(rows, ~out, data, recipe)
        held[out] = intercept + data.vectors[rows.at[out]] @ weights
    intercept, weights = _logistic(rows, every, data, recipe)
    return intercept, weights.astype(np.float32), held


def _prior(rows: _Rows, chosen: NDArray[np.bool_]) -> float:
    weights, labels = rows.weights[chosen], rows.labels[chosen]
    yes = float((weights * labels).sum())
    return float(np.log((yes + 0.5) / (weights.sum() - yes + 0.5)))


def _logistic(
    rows: _Rows, chosen: NDArray[np.bool_], data: TagData, recipe: TagRecipe
) -> tuple[float, Floats]:
    labels = rows.labels[chosen]
    if labels.all() or not labels.any():
        return _prior(rows, chosen), np.zeros(data.vectors.shape[1])
    vectors = data.vectors[rows.at[chosen]]
    # C is meant for vectors of length 1, which those of an encoder need not have.
    length = float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    fitted = LogisticRegression(C=recipe.penalty, max_iter=300).fit(
        vectors / length, labels, sample_weight=rows.weights[chosen]
    )
    return float(fitted.intercept_[0]), fitted.coef_[0] / length


def _held_back_rounds(
    rows: _Rows, held: Floats, data: TagData, recipe: TagRecipe, seed: int
) -> tuple[int, Floats]:
    """The number of rounds that is best for senders held back, and the margins that it gives them [rows]."""
    if not recipe.rounds or rows.labels.sum() < recipe.trees_from:
        return 0, held
    tried = sorted({min(rounds, recipe.rounds) for rounds in recipe.rounds_tried})
    margins = {rounds: held.copy() for rounds in tried}
    for fold in range(recipe.folds):
        out = rows.folds == fold
        if not out.any() or not rows.labels[~out].any():
            continue
        booster = _boosted(rows, ~out, held, max(tried), data, recipe, seed)
        asked = xgboost.DMatrix(data.codes[rows.at[out]], base_margin=held[out], nthread=1)
        for rounds in tried:
            if rounds:
                margins[rounds][out] = booster.predict(asked, output_margin=True, iteration_range=(0, rounds))
    scores = {rounds: _scored(rows, found) for rounds, found in margins.items()}
    best = min(tried, key=lambda rounds: (scores[rounds][0], rounds))
    first = tried[0]
    if scores[best][1] <= scores[first][1]:
        best = first  # likelier, and no better in order
    return best, margins[best]


def _scored(rows: _Rows, margins: Floats) -> tuple[float, float]:
    """Log loss and average precision."""
    loss = np.logaddexp(0, np.where(rows.labels, -margins, margins)) @ rows.weights
    return float(loss), float(average_precision_score(rows.labels, margins, sample_weight=rows.weights))


def _boosted(
    rows: _Rows,
    chosen: NDArray[np.bool_],
    held: Floats,
    rounds: int,
    data: TagData,
    recipe: TagRecipe,
    seed: int,
) -> xgboost.Booster:
    """Trees over margins that did not see their senders: over others there is nothing left to learn."""
    matrix = xgboost.DMatrix(
        data.codes[rows.at[chosen]], label=rows.labels[chosen], weight=rows.weights[chosen],
        base_margin=held[chosen], nthread=1,
    )  # fmt: skip
    asked = {
        "objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": seed,
        "max_bin": recipe.most_bins, "max_depth": recipe.depth, "eta": recipe.eta,
        "subsample": recipe.subsample,
        "colsample_bytree": recipe.colsample, "lambda": recipe.l2,
        "min_child_weight": recipe.least_child_weight,
    }  # fmt: skip
    return xgboost.train(asked, matrix, num_boost_round=rounds)
