"""A quality head that also takes the decoder's numbers of the full-size luminance (worker.model.detail).

What models see is so much smaller than the photo that noise, blocks and a slight blur are gone from it.
"""

import torch
from torch import Tensor, nn

from export.preference.head import PreferenceHead
from schemas.bundle import Measure

DETAIL: list[Measure] = ["sharpness", "noise", "blockiness"]
DETAIL_WIDTH = 9


def detail_features(measured: Tensor) -> Tensor:
    """float32 [n, 3] of DETAIL to [n, 9]: their logarithms, and the products of each two of them.

    Products, since a blurred photo has less noise and a noisy one more sharpness: none is good or bad alone.
    """
    levels = torch.log(torch.clamp(measured, min=0) + torch.tensor([1.0, 0.1, 1e-3]))
    sharpness, noise, blocks = levels.unbind(1)
    products = [
        sharpness * noise, sharpness * blocks, noise * blocks, sharpness.square(), noise.square(),
        blocks.square(),
    ]  # fmt: skip
    return torch.cat([levels, torch.stack(products, dim=1)], dim=1)


class MeasuredHead(nn.Module):
    """Vectors [n, dim] and numbers [n, 3] of DETAIL to a score in (0, 1)."""

    def __init__(self, head: PreferenceHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, vectors: Tensor, measured: Tensor) -> Tensor:
        """Scores [n]."""
        score: Tensor = self.head(torch.cat([vectors, detail_features(measured)], dim=1))
        return score
