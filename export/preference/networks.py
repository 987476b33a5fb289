"""Networks that give an image's utility: of pixels as published, of an embedding, of both, of the trunk.

A utility is any number; only differences mean something. What serves is `Served`: a score in (0, 1).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.trunk import JOINT_WIDTH, Trunk, to_input
from schemas.bundle import ImageInput

Architecture = Literal["cnn", "embedding", "joint", "trunk"]
CNN_SIDE, TRUNK_SIDE = 80, 128
PIXELS, VECTORS = "images", "vectors"
_JOINED = "joined"
_CELLS = 4
_BINS = 6
_FRAMES = 3


class Utility(nn.Module, ABC):
    """Inputs by name to utilities [n]: `images` uint8 [n, side, side, 3], `vectors` float32 [n, dim]."""

    image: ImageInput | None = None
    takes_vectors = False

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See the class."""

    def prepared(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What `forward` also takes in the place of the inputs: all that no weight changes, computed once."""
        return inputs

    def fit_scales(self, inputs: Mapping[str, Tensor]) -> None:
        """Take means and spreads from training images, as prepared, before training."""


class PixelUtility(Utility):
    """As published: a convolutional network on 80 px, one number out.

    Four convolutions with pooling and two dense layers, 2.6 million multiply-adds. Normalised over groups of
    channels, so that an image's utility does not hang on its batch.
    """

    image = ImageInput(height=CNN_SIDE, width=CNN_SIDE)

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 64)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [
                nn.Conv2d(inside, outside, 3, 2, 1), nn.GroupNorm(8, outside), nn.ReLU(inplace=True),
            ]  # fmt: skip
        self.convolutions = nn.Sequential(*layers)
        self.rank = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 25, 64), nn.ReLU(inplace=True), nn.Linear(64, 1)
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        utility: Tensor = self.rank(self.convolutions(to_input(inputs[PIXELS]))).squeeze(1)
        return utility


class _Dense(nn.Module):
    """Standardised features [n, width] to utilities [n]: a linear term and a small hidden layer."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.linear = nn.Linear(width, 1)
        self.bent = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 1)
        )

    def fit(self, features: Tensor) -> None:
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0).clamp_min(1e-4))

    def forward(self, features: Tensor) -> Tensor:
        inside = ((features - self.mean) / self.deviation).clamp(-6.0, 6.0)
        utility: Tensor = (self.linear(inside) + self.bent(inside)).squeeze(1)
        return utility


class VectorUtility(Utility):
    """Over an embedding [n, dim] that stays as it is."""

    takes_vectors = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rank = _Dense(dim)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        utility: Tensor = self.rank(inputs[VECTORS])
        return utility

    def fit_scales(self, inputs: Mapping[str, Tensor]) -> None:
        """See the base."""
        self.rank.fit(inputs[VECTORS])


class JointUtility(Utility):
    """Over an embedding and the appearance of the image at 80 px: what an embedding is trained to forget."""

    image = ImageInput(height=CNN_SIDE, width=CNN_SIDE)
    takes_vectors = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rank = _Dense(dim + APPEARANCE_WIDTH)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        utility: Tensor = self.rank(inputs[_JOINED] if _JOINED in inputs else _joined(inputs))
        return utility

    def prepared(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See the base; inputs that are prepared already stay as they are."""
        if _JOINED in inputs:
            return inputs
        count = len(inputs[VECTORS])
        parts = [
            _joined({name: rows[at : at + 256] for name, rows in inputs.items()})
            for at in range(0, count, 256)
        ]
        return {_JOINED: torch.cat(parts)}

    def fit_scales(self, inputs: Mapping[str, Tensor]) -> None:
        """See the base."""
        self.rank.fit(inputs[_JOINED])


class TrunkUtility(Utility):
    """The starter's trunk, all of it trained on, with one number out."""

    image = ImageInput(height=TRUNK_SIDE, width=TRUNK_SIDE)

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.rank = nn.Sequential(nn.LayerNorm(JOINT_WIDTH), nn.Dropout(0.2), nn.Linear(JOINT_WIDTH, 1))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        utility: Tensor = self.rank(self.trunk.joint_vector(self.trunk(to_input(inputs[PIXELS])))).squeeze(1)
        return utility

    def train(self, mode: bool = True) -> "TrunkUtility":
        """Keeps the batch statistics of the trunk's own training: an image must not hang on its batch."""
        super().train(mode)
        self.trunk.train(False)
        return self


class Served(nn.Module):
    """A utility as a score in (0, 1): the median training image has 0.5, one spread above it 0.73."""

    scale: Tensor

    def __init__(self, utility: Utility) -> None:
        super().__init__()
        self.utility = utility
        self.register_buffer("scale", torch.tensor([0.0, 1.0]))

    def fit(self, utilities: Tensor) -> None:
        """Centre and spread from the utilities [n] of training images."""
        self.scale.copy_(torch.stack([utilities.median(), utilities.std().clamp_min(1e-3)]))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Scores [n] of the inputs in the order of `input_names`."""
        named = dict(zip(input_names(self.utility), inputs, strict=True))
        return torch.sigmoid((self.utility(named) - self.scale[0]) / self.scale[1])


def input_names(utility: Utility) -> list[str]:
    """The inputs that a network takes, in the order of its graph."""
    return ([PIXELS] if utility.image is not None else []) + ([VECTORS] if utility.takes_vectors else [])


def build(architecture: Architecture, dim: int) -> Utility:
    """An untrained network; `dim` is of the embedding, where it takes one."""
    if architecture == "cnn":
        return PixelUtility()
    if architecture == "trunk":
        return TrunkUtility()
    return VectorUtility(dim) if architecture == "embedding" else JointUtility(dim)


def appearance(images: Tensor) -> Tensor:
    """uint8 [n, side, side, 3] to float32 [n, APPEARANCE_WIDTH]: colour, light, contrast, where, how fine.

    Of luminance, two opponent colours, chroma and saturation: mean and spread, shares of soft bins, means of
    4 x 4 cells, mean and spread of three frames, from the edge inwards: a calm ground (Luo and Tang, "Photo
    and Video Quality Evaluation", ECCV 2008) shows in the outer ones; steps between neighbours; colourfulness
    (Hasler and Suesstrunk, 2003).
    """
    red, green, blue = (images.permute(0, 3, 1, 2).float() / 255).unbind(1)
    highest, lowest = (
        torch.maximum(torch.maximum(red, green), blue),
        torch.minimum(torch.minimum(red, green), blue),
    )
    opponents = red - green, (red + green) / 2 - blue
    chroma = highest - lowest
    planes = torch.stack([
        0.299 * red + 0.587 * green + 0.114 * blue, *opponents, chroma, chroma / (highest + 0.05),
    ], dim=1)  # fmt: skip
    mean = planes.mean(dim=(2, 3))
    spread = (planes.square().mean(dim=(2, 3)) - mean.square()).clamp_min(1e-8).sqrt()
    levels = torch.linspace(0, 1, _BINS)
    bins = torch.cat([
        torch.exp(-(((planes[:, place, :, :, None] - offset) * (_BINS - 1)) - levels * (_BINS - 1)).square())
        .mean(dim=(1, 2))
        for place, offset in enumerate((0.0, -0.5, -0.5, 0.0, 0.0))
    ], dim=1)  # fmt: skip
    cells = F.avg_pool2d(planes, images.shape[1] // _CELLS).flatten(1)
    luminance = planes[:, :1]
    steps = torch.cat([
        (luminance[:, :, 1:] - luminance[:, :, :-1]).abs().mean(dim=(2, 3)),
        (luminance[:, :, :, 1:] - luminance[:, :, :, :-1]).abs().mean(dim=(2, 3)),
    ], dim=1)  # fmt: skip
    colourful = (
        spread[:, 1:3].square().sum(1).sqrt() + 0.3 * mean[:, 1:3].square().sum(1).clamp_min(1e-8).sqrt()
    )
    return torch.cat([mean, spread, bins, cells, *_frames(planes), steps, colourful[:, None]], dim=1)


def _frames(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of `planes` [n, planes, side, side] in frames as wide as an eighth of the side."""
    side = planes.shape[2]
    place = torch.arange(side)
    inwards = torch.minimum(place, side - 1 - place)
    frame = (torch.minimum(inwards[:, None], inwards) // (side // 8)).clamp_max(_FRAMES - 1)
    inside = (frame.flatten()[:, None] == torch.arange(_FRAMES)).float()
    share = inside / inside.sum(dim=0)
    values = planes.flatten(2)
    mean = values @ share
    spread = (values.square() @ share - mean.square()).clamp_min(1e-8).sqrt()
    return mean.flatten(1), spread.flatten(1)


APPEARANCE_WIDTH = 5 + 5 + 5 * _BINS + 5 * _CELLS * _CELLS + 2 * 5 * _FRAMES + 2 + 1


def _joined(inputs: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([inputs[VECTORS], appearance(inputs[PIXELS])], dim=1)
