"""The heads of vectors, over the frozen trunk: the embedding (deep + shallow), and the vector of copies.

Deep and shallow as in Wang et al., "Learning fine-grained image similarity with deep ranking" (CVPR 2014): a
small branch over an averaged image keeps what the deep one is trained to overlook, colour above all; both
are normalised, then joined.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.trunk import POOLED_WIDTH

SMALL = 32  # the side of the averaged image that the shallow branch takes
DEEP_DIM, SHALLOW_DIM = 96, 32
COPY_DIM = 64
# Of the joined vector's length: of 0.5, 0.58, 0.65 and 0.72 the best on calibration photos of three seeds.
DEEP_SHARE = 0.6
_LEVELS_A_CHANNEL = 4
_SHARPNESS = 12.0


def averaged(images: Tensor) -> Tensor:
    """[n, 3, h, w] to [n, 3, SMALL, SMALL], each the mean of a square."""
    return F.avg_pool2d(images, images.shape[-1] // SMALL)


class Standardise(nn.Module):
    """Pooled vectors to mean 0 and deviation 1, as the training images have them."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = POOLED_WIDTH) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def fit(self, vectors: Tensor) -> None:
        """Take mean and deviation of [n, width]."""
        self.mean.copy_(vectors.mean(dim=0))
        self.deviation.copy_(vectors.std(dim=0).clamp_min(1e-3))

    def forward(self, vectors: Tensor) -> Tensor:
        """Same shape; no value beyond 6 deviations."""
        return ((vectors - self.mean) / self.deviation).clamp(-6.0, 6.0)


def shares_of(exponents: Tensor) -> Tensor:
    """The softmax of [n, shares, height, width] over its shares, in steps.

    ONNX Runtime's Softmax over an axis that is not the last takes five times as long.
    """
    powers = (exponents - exponents.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


def principal_directions(vectors: Tensor, count: int) -> Tensor:
    """Where `vectors` [n, width] are largest, [count, width]: cosines stay nearly the same."""
    directions: Tensor = torch.linalg.eigh(vectors.T @ vectors).eigenvectors
    return directions[:, -count:].T


class Shallow(nn.Module):
    """A soft histogram of colours, and the strongest answers of a strided convolution: [n, dim]."""

    def __init__(
        self, dim: int = SHALLOW_DIM, levels: int = _LEVELS_A_CHANNEL, sharpness: float = _SHARPNESS
    ) -> None:
        super().__init__()
        side = torch.linspace(-1 + 1 / levels, 1 - 1 / levels, levels)
        centres = torch.cartesian_prod(side, side, side)
        # softmax(2 k c.x - k |c|^2) is that of -k |x - c|^2: each pixel's share of each centre.
        self.bins = nn.Conv2d(3, len(centres), 1)
        with torch.no_grad():
            self.bins.weight.copy_((2 * sharpness * centres)[:, :, None, None])
            self.bins.bias.copy_(-sharpness * centres.square().sum(dim=1))  # type: ignore[union-attr]
        self.strided = nn.Conv2d(3, 32, 4, stride=4)
        self.project = nn.Linear(len(centres) + 2 * 32, dim)

    def histogram(self, small: Tensor) -> Tensor:
        """Square roots of the shares of each colour [n, colours], of [n, 3, SMALL, SMALL] in [-1, 1]."""
        return (shares_of(self.bins(small)).mean(dim=(2, 3)) + 1e-4).sqrt()

    @torch.no_grad()
    def start_from(self, small: Tensor) -> None:
        """Make it the histogram alone, in the directions in which those of `small` are largest."""
        shares = self.histogram(small)
        self.project.weight.zero_()
        self.project.bias.zero_()
        self.project.weight[:, : shares.shape[1]] = principal_directions(shares, len(self.project.weight))

    def forward(self, small: Tensor) -> Tensor:
        """Of [n, 3, SMALL, SMALL] in [-1, 1]; of length 1."""
        strided = F.relu(self.strided(small))
        seen = [self.histogram(small), strided.mean(dim=(2, 3)), strided.amax(dim=(2, 3))]
        return F.normalize(self.project(torch.cat(seen, dim=1)), dim=1)


class EmbeddingHead(nn.Module):
    """Deep and shallow vector, each of length 1, joined to one of length 1: [n, DEEP_DIM + SHALLOW_DIM]."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(POOLED_WIDTH, DEEP_DIM)
        self.shallow = Shallow()

    def parts(self, pooled: Tensor, small: Tensor) -> tuple[Tensor, Tensor]:
        """Deep [n, DEEP_DIM] and shallow [n, SHALLOW_DIM], each of length 1."""
        deep = F.normalize(self.project(self.dropout(self.standardise(pooled))), dim=1)
        return deep, self.shallow(small)

    def join(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Both in one vector of length 1."""
        return torch.cat([deep * DEEP_SHARE**0.5, shallow * (1 - DEEP_SHARE) ** 0.5], dim=1)

    def forward(self, pooled: Tensor, small: Tensor) -> Tensor:
        """See the class."""
        return self.join(*self.parts(pooled, small))


class CopyHead(nn.Module):
    """Pooled vectors to [n, COPY_DIM] of length 1, in which edited copies of one image lie close."""

    def __init__(self, hidden: int = 384, dropout: float = 0.1) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(POOLED_WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, COPY_DIM)
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """See the class."""
        return F.normalize(self.layers(self.standardise(pooled)), dim=1)
