"""The filter: one reinforcer a class, trained on it alone in the verdict space, cut by product photos.

The frame's own ALOCC (`export.alocc`) does the work; here are its sets and the cut. The served score is the
restoration error and nothing else: what the trunk learnt of products, R and D never saw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.alocc.model import AloccModel, TrunkMaps
from export.alocc.settings import VERDICT_MODEL
from export.alocc.step import AdversarialStep, StepSettings
from export.alocc.training import new_model, training_maps
from export.loop import Schedule, fit
from export.processes import Processes
from export.run import RunFolder
from export.starter.graph import NoveltyScore
from export.starter.images import PixelSet
from export.starter.training import Features, features_of
from export.starter.trunk import Trunk, VerdictSpace

# Rendered training sets of each class.
CLASSES: dict[str, tuple[str, ...]] = {
    "text": ("notice", "browser_notice", "typst_notice"),
    "qr": ("qr_poster", "typst_qr_poster", "qr_photo"),
}
_Vector = NDArray[np.float32]


@dataclass(frozen=True)
class FilterSettings:
    """How the reinforcers are trained and cut; fixed, never chosen on test data."""

    step: StepSettings = field(default_factory=lambda: StepSettings(learning_rate=2e-3, noise=0.5))
    epochs: int = 20
    batch_size: int = 64
    false_positive_share: float = 0.003  # of products, for both scores together


@dataclass(frozen=True)
class Filter:
    """The two scores, ready for the graph."""

    text: NoveltyScore
    qr: NoveltyScore

    def by_name(self) -> dict[str, NoveltyScore]:
        """The scores by the name of their output."""
        return {"text": self.text, "qr": self.qr}


def train_filter(
    trunk: Trunk,
    pixels: Mapping[str, PixelSet],
    seed: int,
    settings: FilterSettings,
    run: RunFolder,
    processes: Processes,
) -> Filter:
    """One reinforcer for notices, one for QR codes; `pixels` by set, those of CLASSES and of the products."""
    space = verdict_space(trunk)
    products = [
        features_of(trunk, pixels[f"{group}-{split}"].exact)
        for split in ("train", "calibration")
        for group in ("clothing", "grocery")
    ]
    scores = []
    for name, kinds in CLASSES.items():
        own = np.concatenate([pixels[kind].exact for kind in kinds])
        model = _train(space, own, f"{name}-seed{seed}", seed, settings, run, processes)
        inside = np.concatenate([novelty(model, features_of(trunk, pixels[kind].exact)) for kind in kinds])
        outside = [novelty(model, found) for found in products]
        cut, slope = cut_and_slope(outside, inside, settings.false_positive_share / len(CLASSES))
        scores.append(NoveltyScore(model, cut, slope).eval())
    return Filter(*scores)


def verdict_space(trunk: Trunk) -> VerdictSpace:
    """The trunk as the frame's ALOCC takes it."""
    space = VerdictSpace()
    space.load_state_dict(trunk.state_dict())
    return space.eval()


def _train(
    space: nn.Module,
    images: NDArray[np.uint8],
    phase: str,
    seed: int,
    settings: FilterSettings,
    run: RunFolder,
    processes: Processes,
) -> AloccModel:
    maps = TrunkMaps(space, images, processes.device)
    model = new_model(VERDICT_MODEL, space, seed)
    model.standardise(maps)
    step = AdversarialStep(
        model.reinforcer, model.discriminator, training_maps(model, maps), settings.step, processes
    )
    schedule = Schedule(settings.epochs, settings.batch_size, seed)
    fit(step, phase=phase, count=len(images), schedule=schedule, run=run, processes=processes)
    return model.eval()


@torch.no_grad()
def novelty(model: AloccModel, features: Features) -> _Vector:
    """How well each row is restored, float32 [n]: minus the logarithm of the restoration error."""
    vectors = torch.from_numpy(features.verdict)[:, :, None, None]
    closeness: _Vector = NoveltyScore.closeness(model, vectors).numpy()
    return closeness


def cut_and_slope(products: Sequence[_Vector], inside: _Vector, share: float) -> tuple[float, float]:
    """Where the value is cut, and how steep the score is there.

    Every group of `products` lets at most `share` through: photos that the trunk was trained on look
    tamer than new ones, so they alone would set the cut too low. Of n photos, a new one exceeds the
    k-th largest with chance k / (n + 1) (Hyndman and Fan's type 6), so that few photos give a strict
    cut. The slope puts the class's median at a score of 0.95.
    """
    cut = max(float(np.quantile(group, 1.0 - share, method="weibull")) for group in products)
    middle = float(np.median(inside))
    return cut, 3.0 / max(0.25, middle - cut)
