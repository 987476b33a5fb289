"""The filter: one reinforcer a class, fused with the trunk's margin, cut by product photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.feature_alocc import FeatureAlocc, train_reinforcer
from export.render.uploads import Kind
from export.starter.graph import Fusion, NoveltyScore
from export.starter.images import rendered_pixels
from export.starter.recipe import SEED_FUSION, Recipe, Sources
from export.starter.training import Features, features_of
from export.starter.trunk import Trunk

CLASSES: dict[str, tuple[Kind, ...]] = {"text": ("notice",), "qr": ("qr_poster", "qr_photo")}
RESTORATION_WEIGHT = 0.1
_FUSION_RENDERS = 200
_Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Filter:
    """The two scores, ready for the graph."""

    text: NoveltyScore
    qr: NoveltyScore


def _parts(score: NoveltyScore, features: Sequence[Features]) -> _Vector:
    """Restoration and margin of every row: float32 [n, 2]."""
    with torch.no_grad():
        found = [
            score.parts(torch.from_numpy(f.evidence), torch.from_numpy(f.types)).numpy() for f in features
        ]
    return np.concatenate(found)


def fuse(groups: Sequence[_Vector]) -> _Vector:
    """Weights [2] of restoration and margin: a tenth to one, in units of their spread over `groups`.

    The weight was picked with held figures in view: `docs/models.md` says what else was tried.

    Args:
        groups: parts [n, 2] of training-side products and of renders of the class.

    """
    weights: _Vector = np.array([RESTORATION_WEIGHT, 1.0], np.float32) / np.concatenate(groups).std(axis=0)
    return weights


def cut_and_slope(products: Sequence[_Vector], inside: _Vector, share: float) -> tuple[float, float]:
    """Where the fused value is cut, and how steep the score is there.

    Every group of `products` lets at most `share` through: photos that the trunk was trained on look
    tamer than new ones, so they alone would set the cut too low. The slope puts the class's median
    at a score of 0.95.
    """
    cut = max(float(np.quantile(group, 1.0 - share)) for group in products)
    middle = float(np.median(inside))
    return cut, 3.0 / max(0.25, middle - cut)


def train_filter(trunk: Trunk, sources: Sources, cache: Path, recipe: Recipe, seed: int) -> Filter:
    """One reinforcer for notices, one for QR codes, each trained on its class alone."""

    def of(names: Sequence[str]) -> list[Features]:
        return [features_of(trunk, sources.pixels[name].exact) for name in names]

    groups = {s: of([f"clothing-{s}", f"grocery-{s}"]) for s in ("train", "calibration")}
    grounds = [photo.path for photo in sources.photos["clothing-calibration"]]
    scores = []
    for number, kinds in enumerate(CLASSES.values()):
        own = of(kinds)
        fresh = [
            features_of(trunk, rendered_pixels(cache, kind, SEED_FUSION, _FUSION_RENDERS, grounds).exact)
            for kind in kinds
        ]
        alocc = train_reinforcer(np.concatenate([f.evidence for f in own]), seed + number, recipe.reinforcer)
        scores.append(_fused(alocc, number + 1, groups, fresh, recipe.false_positive_share / 2))
    return Filter(*scores)


def _fused(
    alocc: FeatureAlocc, column: int, groups: dict[str, list[Features]], fresh: list[Features], share: float
) -> NoveltyScore:
    plain = NoveltyScore(alocc, column, Fusion(1.0, 0.0, 0.0, 1.0))
    inside = _parts(plain, fresh)
    outside = {name: _parts(plain, found) for name, found in groups.items()}
    weights = fuse([inside, *outside.values()])
    cut, slope = cut_and_slope([parts @ weights for parts in outside.values()], inside @ weights, share)
    return NoveltyScore(alocc, column, Fusion(float(weights[0]), float(weights[1]), cut, slope)).eval()
