"""A quality head over vectors, colour and light, and the decoder's numbers of the full-size luminance.

What models see is so much smaller than the photo that noise, blocks and a slight blur are gone from it, and
an embedding is trained to forget light, colour and framing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.preference.head import PreferenceHead
from export.preference.networks import CNN_SIDE, appearance
from schemas.bundle import Measure

DETAIL: list[Measure] = [
    "sharpness", "noise", "blockiness",
    "axis_difference_1", "axis_difference_2", "axis_difference_3", "axis_difference_4",
    "diagonal_difference_1", "diagonal_difference_2", "mixed_difference",
    "direction_cosine_1", "direction_cosine_2", "direction_cosine_4",
    "direction_sine_1", "direction_sine_2", "direction_sine_4",
]  # fmt: skip
_KINDS = [3, 7, 6]
_PRODUCTS = 6
DETAIL_WIDTH = len(DETAIL) + _PRODUCTS


def detail_features(measured: Tensor) -> Tensor:
    """float32 [n, 16] of DETAIL to [n, 22]: logarithms but of directions, products of the first three.

    Products, since a blurred photo has less noise and a noisy one more sharpness: none is good or bad alone.
    """
    first, fine, directions = torch.split(measured, _KINDS, dim=1)
    levels = torch.log(torch.clamp(first, min=0) + torch.tensor([1.0, 0.1, 1e-3]))
    sharpness, noise, blocks = levels.unbind(1)
    products = [
        sharpness * noise, sharpness * blocks, noise * blocks, sharpness.square(), noise.square(),
        blocks.square(),
    ]  # fmt: skip
    steps = torch.log(torch.clamp(fine, min=0) + 0.2)
    return torch.cat([levels, torch.stack(products, dim=1), steps, directions], dim=1)


def looks(images: Tensor) -> Tensor:
    """uint8 [n, height, width, 3] of an encoder's input to [n, APPEARANCE_WIDTH], at 80 px."""
    planes = images.permute(0, 3, 1, 2).float()
    small = F.interpolate(planes, size=(CNN_SIDE, CNN_SIDE), mode="bilinear", align_corners=False)
    return appearance(small.permute(0, 2, 3, 1))


def quality_features(images: Tensor, vectors: Tensor, measured: Tensor) -> Tensor:
    """What the head takes: float32 [n, width]."""
    return torch.cat([vectors, looks(images), detail_features(measured)], dim=1)


class MeasuredHead(nn.Module):
    """Pixels [n, height, width, 3], vectors [n, dim] and numbers [n, 16] of DETAIL to a score."""

    def __init__(self, head: PreferenceHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, images: Tensor, vectors: Tensor, measured: Tensor) -> Tensor:
        """Scores [n] in (0, 1)."""
        score: Tensor = self.head(quality_features(images, vectors, measured))
        return score
