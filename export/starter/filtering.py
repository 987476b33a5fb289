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
def novelty(model: AloccModel, features: Features) -> _Vector:
    """How well each row is restored, float32 [n]: minus the logarithm of the restoration error."""
    vectors = torch.from_numpy(features.verdict)[:, :, None, None]
    closeness: _Vector = NoveltyScore.closeness(model, vectors).numpy()
    return closeness


def joint_cuts(
    products: Sequence[Mapping[str, _Vector]], inside: Mapping[str, _Vector], share: float
) -> dict[str, float]:
    """The value from which on an image is of each class.

    No group of `products` has more than `share` flagged by any score: photos that the trunk was trained on
    look tamer than new ones, so they alone would set the cuts too low. Cuts start above every product and
    go down photo by photo, each time the one that wins more of its class, until a group's share is used up.

    Args:
        products: for each group of photos, the values by class, float32 [photos] each.
        inside: the values of each class's own images.
        share: of a group, in [0, 1).

    """
    values = {name: np.sort(np.concatenate([group[name] for group in products]))[::-1] for name in inside}
    cuts = {name: _above(values[name], 0) for name in inside}
    passed = dict.fromkeys(inside, 0)
    while True:
        lowered = {name: _above(values[name], passed[name] + 1) for name in inside}
        allowed = [name for name in inside if _within(products, cuts | {name: lowered[name]}, share)]
        if not allowed:
            return cuts
        gain = {n: float((inside[n] >= lowered[n]).mean() - (inside[n] >= cuts[n]).mean()) for n in allowed}
        best = max(allowed, key=gain.__getitem__)
        cuts[best] = lowered[best]
        passed[best] += 1


def _above(falling: _Vector, passed: int) -> float:
    """A cut that lets the first `passed` values pass, a little above the next one."""
    following = float(falling[passed])
    margin = 0.05 * (float(falling[passed - 1]) - following) if passed else 1e-3
    return following + max(margin, 1e-3)


def _within(products: Sequence[Mapping[str, _Vector]], cuts: Mapping[str, float], share: float) -> bool:
    return all(
        np.any([group[name] >= cut for name, cut in cuts.items()], axis=0).mean() <= share
        for group in products
    )


def slope_of(cut: float, inside: _Vector) -> float:
    """How steep the score is at the cut: the class's median comes out at 0.95."""
    return 3.0 / max(0.25, float(np.median(inside)) - cut)
