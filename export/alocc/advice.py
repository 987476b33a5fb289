"""What to do with a finished one-class training: which score to use, how sure it is, and what comes next."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.alocc.evaluation import SeedResult
from export.alocc.model import RESTORED
from export.alocc.settings import AloccSettings, Space
from worker.settings import STARTER_BUNDLE

_FEW_FOUND = 0.9
_TIMES_THE_RATE = (
    3  # of false positives that was asked for: more tells that the test products are of another kind
)
_FEW_PRODUCTS = 300


def served_space(settings: AloccSettings) -> Space:
    """The space whose score the run's Part serves: its last, which others were measured beside."""
    return list(settings.spaces)[-1]


def advice(settings: AloccSettings, results: Sequence[SeedResult], run: Path) -> list[str]:
    """Sentences for who trained: the score, what its figures say against it, and the next commands."""
    space = served_space(settings)
    measured = [result.measured[RESTORED] for result in results if result.space == space]
    recall, flagged = (
        float(np.mean([getattr(seed, figure) for seed in measured]))
        for figure in ("recall", "false_positive_rate")
    )
    return [
        f"Use {RESTORED} in the {space} space, which the Part serves: of images not trained on it finds "
        f"{recall:.1%} of the target class and flags {flagged:.2%} of the products.",
        *_warnings(settings, space, recall, flagged, measured[0].negatives),
        f"Next, a bundle of it: mekiki bundle assemble --part {run} --part {STARTER_BUNDLE}:embedding,tags "
        "--name shop --version 1 --out bundles/shop",
        "Then your own photos: mekiki scan photos/ --out results.jsonl --set model.bundle=bundles/shop",
        "Where people have labelled some, thresholds: mekiki bundle calibrate bundles/shop --labels FILE",
    ]


def _warnings(
    settings: AloccSettings, space: Space, recall: float, flagged: float, products: int
) -> list[str]:
    found = []
    if space == "pixel":
        found.append(
            "Pixels, as published, are for comparison and find few notices (docs/training.md): leave "
            "--spaces out for the starter's trunk, or name --weights of a mobilenet_v2 or --encoder."
        )
    elif recall < _FEW_FOUND:
        found.append(
            "That is little. Look at the lowest scores in the report: give more --positive images of their "
            "kind, or another trunk (--weights of a mobilenet_v2, --encoder)."
        )
    if flagged > _TIMES_THE_RATE * settings.false_positive_rate:
        found.append(
            f"That flags more than the {settings.false_positive_rate:.1%} asked for: the --product images "
            "that set the threshold are of other kinds than those measured. Give more of the flagged labels."
        )
    if products < _FEW_PRODUCTS:
        found.append(
            f"{products} products are too few to tell {settings.false_positive_rate:.1%} from twice that: "
            "give more with --test-product before the score blocks anything."
        )
    return found
