"""The convolutional trunk: 128 px in, 45 million multiply-adds, an embedding and a verdict space.

The verdict space is where the filter works: 32 numbers of length 1, in which training draws all
notices together, all QR codes together, and both away from products (`export.embedding.training`).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EMBEDDING_DIM = 128
EVIDENCE = 64
VERDICT_DIM = 32
TYPES = ("product", "notice", "qr")


EVIDENCE_WIDTH = 3 * EVIDENCE
JOINT_WIDTH = EVIDENCE_WIDTH + 2 * 192


class Levels(NamedTuple):
    """Feature maps, [n, channels, height, width] each."""

    low: Tensor  # [n, 32, 32, 32]
    middle: Tensor  # [n, 128, 8, 8]
    deep: Tensor  # [n, 192, 4, 4]


def _strided(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution that shrinks, with its normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + 3x3 convolution of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.normalise = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return F.relu(x + self.normalise(self.convolution(x)))


def _pooled(level: Tensor) -> Tensor:
    """[n, channels, height, width] to [n, 2 * channels]: mean and maximum."""
    return torch.cat([level.mean(dim=(2, 3)), level.amax(dim=(2, 3))], dim=1)


class Trunk(nn.Module):
    """Images float32 [n, 3, 128, 128] in [-1, 1] to feature maps, embedding, verdict space."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(_strided(3, 32, 6, 4), Residual(32))
        self.middle = nn.Sequential(
            _strided(32, 64, 3, 2), Residual(64), _strided(64, 128, 3, 2), Residual(128)
        )
        self.deep = _strided(128, 192, 3, 2)
        self.evidence = nn.Sequential(nn.Conv2d(128, EVIDENCE, 1, bias=False), nn.BatchNorm2d(EVIDENCE))
        self.embed = nn.Linear(2 * 192, EMBEDDING_DIM)
        self.verdict = nn.Linear(JOINT_WIDTH, VERDICT_DIM)

    def forward(self, images: Tensor) -> Levels:
        """The feature maps of a batch."""
        low = self.low(images)
        middle = self.middle(low)
        return Levels(low, middle, self.deep(middle))

    def embedding(self, levels: Levels) -> Tensor:
        """[n, 128], of length 1."""
        return F.normalize(self.embed(_pooled(levels.deep)), dim=1)

    def joint_vector(self, levels: Levels) -> Tensor:
        """[n, 576]: mid-level evidence and pooled deep features."""
        return torch.cat([self.evidence_vector(levels), _pooled(levels.deep)], dim=1)

    def verdict_vector(self, levels: Levels) -> Tensor:
        """[n, 32], of length 1: what the reinforcers restore."""
        return F.normalize(self.verdict(self.joint_vector(levels)), dim=1)

    def evidence_vector(self, levels: Levels) -> Tensor:
        """[n, 192]: mean, maximum and spread of 64 mid-level channels."""
        evidence = F.relu(self.evidence(levels.middle))
        mean = evidence.mean(dim=(2, 3))
        spread = (evidence.square().mean(dim=(2, 3)) - mean.square()).clamp_min(1e-6).sqrt()
        return torch.cat([mean, evidence.amax(dim=(2, 3)), spread], dim=1)

    def pooled_vector(self, levels: Levels) -> Tensor:
        """[n, 1056]: mean, maximum and spread at three depths, for the heads of vectors."""
        parts = []
        for level in levels:
            mean = level.mean(dim=(2, 3))
            spread = (level.square().mean(dim=(2, 3)) - mean.square()).clamp_min(1e-6).sqrt()
            parts += [mean, level.amax(dim=(2, 3)), spread]
        return torch.cat(parts, dim=1)

    def quality_vector(self, levels: Levels) -> Tensor:
        """[n, 512]: mean and spread at two depths, where blur, noise and exposure show."""
        parts = []
        for level in (levels.low, levels.middle, levels.deep):
            mean = level.mean(dim=(2, 3))
            spread = (level.square().mean(dim=(2, 3)) - mean.square()).clamp_min(1e-6).sqrt()
            parts += [mean, spread]
        return torch.cat(parts[:-1], dim=1)


QUALITY_WIDTH = 2 * 32 + 2 * 128 + 192
POOLED_WIDTH = 3 * (32 + 128 + 192)


def to_input(images: Tensor) -> Tensor:
    """uint8 [n, height, width, 3] to float32 [n, 3, height, width] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


class VerdictSpace(Trunk):
    """The trunk as ALOCC sees it: uint8 [n, 128, 128, 3] to float32 [n, 32, 1, 1], frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """See the class."""
        vectors = self.verdict_vector(super().forward(to_input(images)))
        return vectors[:, :, None, None]

    def train(self, mode: bool = True) -> "VerdictSpace":  # noqa: ARG002
        """Stays in evaluation mode: a frozen trunk keeps its batch statistics."""
        return super().train(False)
