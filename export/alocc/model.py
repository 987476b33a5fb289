"""The whole classifier of one target class: trunk, standardised maps, R, D and its scores."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from export.alocc.networks import Discriminator, MapShape, Reinforcer, dense_code, local_code
from export.alocc.trunks import MobileNetV2, Pixels, Preprocess

Images = NDArray[np.uint8]
# Higher means more of the target class; float64 [n] each.
Scores = dict[str, NDArray[np.float64]]

DISCRIMINATED = "D(X)"
REINFORCED = "D(R(X))"
RESTORED = "restoration"
FUSED = "fusion"


class ModelSettings(BaseModel):
    """Everything that the networks' shapes hang on. Sides in pixels; strides one a width.

    `trunk` gives the space of the maps; `trunk_blocks` and `trunk_pool` cut and pool it.
    `code` is the bottleneck: `code_size` numbers for the whole image or for each place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = 64
    trunk: Literal["grey", "pixels", "mobilenet_v2"] = "pixels"
    trunk_blocks: int = 6
    trunk_pool: int = 1
    preprocess: Preprocess = "tensorflow"
    widths: tuple[int, ...] = (32, 64, 128)
    strides: tuple[int, ...] = (2, 2, 2)
    code: Literal["dense", "local"] = "dense"
    code_size: int = 128
    discriminator_widths: tuple[int, ...] = (32, 64, 128)
    discriminator_strides: tuple[int, ...] = (2, 2, 2)


class AloccModel(nn.Module):
    """uint8 [n, side, side, 3] to the scores of one target class."""

    mean: Tensor
    centre: Tensor
    deviation: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.trunk = _trunk(settings)
        shape = map_shape(self.trunk, settings.side)
        code = {"dense": dense_code, "local": local_code}[settings.code]
        inside = shape.after(settings.widths, settings.strides)
        bound: nn.Module = nn.Tanh() if self.works_on_pixels else nn.Identity()
        self.reinforcer = Reinforcer(
            shape, settings.widths, settings.strides, code(inside, settings.code_size), bound
        )
        self.discriminator = Discriminator(
            shape, settings.discriminator_widths, settings.discriminator_strides
        )
        self.register_buffer("mean", torch.zeros(1, shape.channels, 1, 1))
        self.register_buffer("centre", torch.zeros(1, shape.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, shape.channels, 1, 1))

    @property
    def works_on_pixels(self) -> bool:
        """Whether the maps are pixels in [-1, 1]."""
        return self.settings.trunk != "mobilenet_v2"

    def maps(self, images: Tensor) -> Tensor:
        """Maps [n, c, h, w] of images uint8 [n, side, side, 3]; of features, standardised by channel."""
        maps: Tensor = (self.trunk(images) - self.mean) / self.deviation
        return maps.clamp(-10, 10)

    @torch.no_grad()
    def standardise(self, images: Images) -> None:
        """Take the channels' means and, of features, their deviations from images of the target class."""
        maps = torch.cat([self.trunk(batch).half().cpu() for batch in in_batches(images, self.mean.device)])
        channels = [maps[:, number].float() for number in range(maps.shape[1])]
        mean = torch.stack([channel.mean() for channel in channels]).view_as(self.mean)
        if self.works_on_pixels:
            self.centre.copy_(mean)
            return
        deviation = torch.stack([channel.std() for channel in channels]).view_as(self.mean)
        self.mean.copy_(mean)
        # A channel that the class hardly uses would drown the others.
        self.deviation.copy_(deviation.clamp_min(0.1 * float(deviation.mean())))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits D(X) and D(R(X)), and the restoration error: images uint8 [n, side, side, 3] -> three [n].

        The error is |X - R(X)|^2 over |X - centre|^2: the share of what sets X apart from the target
        class's mean that R does not restore. Undivided, an empty image would pass for a well-restored one.
        """
        maps = self.maps(images)
        restored = self.reinforcer(maps)
        energy = (maps - self.centre).square().mean(dim=(1, 2, 3)).clamp_min(1e-3)
        error = (maps - restored).square().mean(dim=(1, 2, 3)) / energy
        return self.discriminator(maps), self.discriminator(restored), error

    @torch.no_grad()
    def scores(self, images: Images) -> Scores:
        """D(X), D(R(X)) (logits) and minus the restoration error, each [n]."""
        self.eval()
        parts = [self(batch) for batch in in_batches(images, self.mean.device)]
        plain, reinforced, error = (
            torch.cat(column).double().cpu().numpy() for column in zip(*parts, strict=True)
        )
        return {DISCRIMINATED: plain, REINFORCED: reinforced, RESTORED: -error}


def in_batches(images: Images, device: torch.device, size: int = 64) -> Iterator[Tensor]:
    """Images as tensors on the device, `size` at a time."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.ascontiguousarray(images[start : start + size])).to(device)


@torch.no_grad()
def map_shape(trunk: nn.Module, side: int) -> MapShape:
    """The shape of the maps that a trunk makes of one image."""
    maps = trunk.eval()(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    return MapShape(*maps.shape[1:])


def _trunk(settings: ModelSettings) -> nn.Module:
    if settings.trunk == "mobilenet_v2":
        return MobileNetV2(settings.trunk_blocks, settings.trunk_pool, settings.preprocess)
    return Pixels(channels=1 if settings.trunk == "grey" else 3)
