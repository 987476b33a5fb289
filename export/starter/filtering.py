"""The filter: one reinforcer a class, trained on it alone in the verdict space, cut by product photos.

The frame's own ALOCC (`export.alocc`) does the work; here are its sets and the cut. The served score is the
restoration error and nothing else: what the trunk learnt of products, R and D never saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.alocc.model import AloccModel, TrunkMaps
from export.alocc.score import NoveltyScore, Vector, joint_cuts, slope_of
from export.alocc.settings import VERDICT_MODEL
from export.alocc.step import AdversarialStep, StepSettings
from export.alocc.training import new_model, training_maps
from export.embedding.pixels import PixelSet
from export.embedding.training import Features, features_of
from export.embedding.trunk import Trunk, VerdictSpace
from export.loop import Schedule, fit
from export.processes import Processes
from export.run import RunFolder

# Rendered training sets of each class.
CLASSES: dict[str, tuple[str, ...]] = {
    "text": ("notice", "browser_notice", "typst_notice"),
    "qr": ("qr_poster", "typst_qr_poster", "qr_photo"),
}


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
    models, inside = {}, {}
    for name, kinds in CLASSES.items():
        own = np.concatenate([pixels[kind].exact for kind in kinds])
        models[name] = _train(space, own, f"{name}-seed{seed}", seed, settings, run, processes)
        inside[name] = novelty(models[name], features_of(trunk, own))
    outside = [{name: novelty(model, found) for name, model in models.items()} for found in products]
    cuts = joint_cuts(outside, inside, settings.false_positive_share)
    return Filter(**{
        name: NoveltyScore(model, cuts[name], slope_of(cuts[name], inside[name])).eval()
        for name, model in models.items()
    })  # fmt: skip


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
def novelty(model: AloccModel, features: Features) -> Vector:
    """How well each row is restored, float32 [n]: minus the logarithm of the restoration error."""
    vectors = torch.from_numpy(features.verdict)[:, :, None, None]
    closeness: Vector = NoveltyScore.closeness(model, vectors).numpy()
    return closeness
