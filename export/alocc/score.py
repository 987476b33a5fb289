"""The served score of a class: how well its reinforcer restores, and where that is cut."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.alocc.model import AloccModel
from export.alocc.networks import RawMaps

Vector = NDArray[np.float32]


class NoveltyScore(nn.Module):
    """How well a class's reinforcer restores an image: 0.5 is the threshold, 1 is surely of the class."""

    cut: Tensor
    slope: Tensor

    def __init__(self, model: AloccModel, cut: float, slope: float) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("cut", torch.tensor(cut))
        self.register_buffer("slope", torch.tensor(slope))

    @staticmethod
    def closeness(model: AloccModel, vectors: Tensor) -> Tensor:
        """Minus the logarithm of the restoration error of verdict vectors [n, 32, 1, 1]: [n]."""
        return -torch.log(model.restoration_error(RawMaps(vectors)) + 1e-6)

    def forward(self, vectors: Tensor) -> Tensor:
        """Verdict vectors [n, 32] to scores [n] in (0, 1)."""
        close = self.closeness(self.model, vectors[:, :, None, None])
        return torch.sigmoid((close - self.cut) * self.slope)


def joint_cuts(
    products: Sequence[Mapping[str, Vector]], inside: Mapping[str, Vector], share: float
) -> dict[str, float]:
    """The value from which on an image is of each class.

    Every class is accepted at the same rate, as one-class thresholds are set: the largest rate at which no
    group of `products` has more than `share` flagged by any score. So no score is lax where it has no need
    to be. Groups count each on its own: photos that the trunk was trained on look tamer than new ones.

    Args:
        products: for each group of photos, the values by class, float32 [photos] each.
        inside: the values of each class's own images, float32 [images].
        share: of a group, in [0, 1).

    """
    falling = {name: np.sort(values)[::-1] for name, values in inside.items()}
    accepted = 1.0
    for group in products:
        # The rate from which on each photo is flagged: the share of the class that lies above it.
        rates = [np.searchsorted(-own, -group[name], "right") / len(own) for name, own in falling.items()]
        flagged_from = np.sort(np.min(rates, axis=0))
        accepted = min(accepted, float(flagged_from[int(share * len(flagged_from))]))
    return {name: float(own[max(0, int(accepted * len(own) + 1e-9) - 1)]) for name, own in falling.items()}


def slope_of(cut: float, inside: Vector) -> float:
    """How steep the score is at the cut: the class's median comes out at 0.95."""
    return 3.0 / max(0.25, float(np.median(inside)) - cut)
