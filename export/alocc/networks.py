"""R and D as small strided convolutional networks over [n, c, h, w] maps, pixels or features.

The published networks normalise over the batch. Here groups of channels of one image are
normalised instead: with batch statistics D sees real and restored images under different
statistics, learns to tell the two by those, and its sign on other classes is a matter of luck.
Vectors are maps of one place: 1 x 1 convolutions, and no normalisation, which would take their length away.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NewType

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

# What a trunk gives, float32 [n, c, h, w], and the same in the spreads of the target class: R and D see the
# second alone, and nothing but a type tells them apart.
RawMaps = NewType("RawMaps", Tensor)
StandardisedMaps = NewType("StandardisedMaps", Tensor)


@dataclass(frozen=True)
class MapShape:
    """Shape [channels, height, width] of the maps of one image."""

    channels: int
    height: int
    width: int

    def after(self, widths: tuple[int, ...], strides: tuple[int, ...]) -> "MapShape":
        """The shape after 3 x 3 convolutions of these channels and strides, padded by 1."""
        height, width = self.height, self.width
        for stride in strides:
            height, width = -(-height // stride), -(-width // stride)
        return MapShape(widths[-1], height, width)

    @property
    def is_vector(self) -> bool:
        """Whether the maps have one place alone."""
        return self.height == self.width == 1

    @property
    def size(self) -> int:
        """Numbers in the maps of one image."""
        return self.channels * self.height * self.width


class Reinforcer(nn.Module):
    """R: float32 [n, c, h, w] to the same shape, through a bottleneck.

    `widths` are the channels after each encoder block and `strides` their steps; the decoder
    mirrors them. `code` maps the last encoder maps to maps of the same shape and is what R cannot
    pass everything through: `dense_code` or `local_code`. `output` bounds the result.
    """

    def __init__(
        self,
        shape: MapShape,
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        code: nn.Module,
        output: nn.Module,
    ) -> None:
        super().__init__()
        block = _dense_block if shape.is_vector else _block
        self.encoder = nn.ModuleList(
            block(into, out, stride)
            for (into, out), stride in zip(pairwise((shape.channels, *widths)), strides, strict=True)
        )
        self.code = code
        self.decoder = nn.ModuleList(block(into, out, 1) for into, out in pairwise(reversed(widths)))
        self.last = _convolution(widths[0], shape.channels, shape)
        self.output = output

    def forward(self, maps: Tensor) -> Tensor:
        """The maps as the target class would have them."""
        sizes = []
        for block in self.encoder:
            sizes.append(maps.shape[-2:])
            maps = block(maps)
        maps = self.code(maps)
        for block in (*self.decoder, self.last):
            # Nearest neighbour and a convolution: transposed convolutions leave a checkerboard.
            maps = block(functional.interpolate(maps, size=sizes.pop(), mode="nearest"))
        restored: Tensor = self.output(maps)
        return restored


class Discriminator(nn.Module):
    """D: one logit an image, [n]; positive means of the target class.

    Spectral normalisation (Miyato et al., ICLR 2018) bounds how steep D gets, so that it does not
    saturate before R has learnt.
    """

    def __init__(self, shape: MapShape, widths: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (into, out), stride in zip(pairwise((shape.channels, *widths)), strides, strict=True):
            layers += [spectral_norm(_convolution(into, out, shape, stride)), nn.LeakyReLU(0.2)]
        self.blocks = nn.Sequential(*layers)
        self.output = spectral_norm(nn.Linear(shape.after(widths, strides).size, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Logits [n] of maps [n, c, h, w]."""
        logits: Tensor = self.output(self.blocks(maps).flatten(1)).squeeze(1)
        return logits


def dense_code(shape: MapShape, size: int) -> nn.Module:
    """A bottleneck of `size` numbers for the whole image."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(shape.size, size),
        nn.Linear(size, shape.size),
        nn.Unflatten(1, (shape.channels, shape.height, shape.width)),
        nn.LeakyReLU(0.2),
    )


def local_code(shape: MapShape, size: int) -> nn.Module:
    """A bottleneck of `size` numbers for each place of the map."""
    return nn.Sequential(
        nn.Conv2d(shape.channels, size, 1), nn.Conv2d(size, shape.channels, 1), nn.LeakyReLU(0.2)
    )


class WithinClass(nn.Module):
    """Bounds each channel between two quantiles of the target class: R cannot leave what the class does.

    Unbounded, R carries on along the directions in which the class varies, and restores what lies far out.
    """

    low: Tensor
    high: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((1, channels, 1, 1), -1.0))
        self.register_buffer("high", torch.full((1, channels, 1, 1), 1.0))

    @torch.no_grad()
    def fit(self, maps: StandardisedMaps, quantile: float) -> None:
        """Take the bounds, `quantile` and one less it, from standardised maps [n, c, h, w] of the class."""
        places = maps.transpose(0, 1).flatten(1)
        for bound, share in ((self.low, quantile), (self.high, 1 - quantile)):
            bound.copy_(torch.quantile(places, share, dim=1).view_as(bound))

    def forward(self, maps: Tensor) -> Tensor:
        """Any maps [n, c, h, w] to maps within the bounds."""
        return self.low + (self.high - self.low) * torch.sigmoid(maps)


def _convolution(into: int, out: int, shape: MapShape, stride: int = 1) -> nn.Conv2d:
    if shape.is_vector:
        return nn.Conv2d(into, out, 1)
    return nn.Conv2d(into, out, 3, stride=stride, padding=1)


def _dense_block(into: int, out: int, _stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out, 1), nn.LeakyReLU(0.2))


def _block(into: int, out: int, stride: int) -> nn.Sequential:
    groups = next(count for count in (8, 4, 2, 1) if out % count == 0)
    return nn.Sequential(
        nn.Conv2d(into, out, 3, stride=stride, padding=1), nn.GroupNorm(groups, out), nn.LeakyReLU(0.2)
    )
