"""The whole classifier of one target class: trunk, standardised maps, R, D and its scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from export.alocc.networks import (
    Discriminator,
    MapShape,
    RawMaps,
    Reinforcer,
    StandardisedMaps,
    WithinClass,
    dense_code,
    local_code,
)
from export.alocc.trunks import EncoderSpace, MobileNetV2, Pixels, Preprocess
from export.embedding.part import read_encoder
from export.embedding.trunk import VerdictSpace
from schemas.bundle import ImageInput

Images = NDArray[np.uint8]
# Higher means more of the target class; float64 [n] each.
Values = NDArray[np.float64]
Scores = dict[str, Values]

DISCRIMINATED = "D(X)"
REINFORCED = "D(R(X))"
RESTORED = "restoration"
FUSED = "fusion"
_CLASS_QUANTILE = 0.25


class ModelSettings(BaseModel):
    """Everything that the networks' shapes hang on. Sides in pixels; strides one a width.

    `trunk` gives the space of the maps; `trunk_blocks` and `trunk_pool` cut and pool it. `encoder` is the
    folder of an embedding's Part, whose vectors are the maps of the trunk `encoder`.
    `code` is the bottleneck: `code_size` numbers for the whole image or for each place.
    `restored` is where R's output may lie: pixels within [-1, 1], features anywhere, or within the
    middle half of the class's own, channel by channel. `error` is the mean square of X - R(X), or its
    share of the energy of X.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = 64
    trunk: Literal["grey", "pixels", "mobilenet_v2", "starter", "encoder"] = "pixels"
    encoder: str = ""
    trunk_blocks: int = 6
    trunk_pool: int = 1
    preprocess: Preprocess = "tensorflow"
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[int, ...] = (2, 2, 2)
    code: Literal["dense", "local"] = "dense"
    code_size: int = 128
    restored: Literal["pixels", "anywhere", "within_class"] = "pixels"
    error: Literal["share", "mean_square"] = "share"
    discriminator_widths: tuple[int, ...] = (16, 32, 64)
    discriminator_strides: tuple[int, ...] = (2, 2, 2)

    def pixels(self) -> ImageInput:
        """What images are decoded to."""
        if self.trunk == "encoder":
            return read_encoder(Path(self.encoder)).image
        return ImageInput(height=self.side, width=self.side)


class AloccModel(nn.Module):
    """uint8 [n, side, side, 3] to the scores of one target class."""

    mean: Tensor
    centre: Tensor
    deviation: Tensor

    def __init__(self, settings: ModelSettings, trunk: nn.Module) -> None:
        super().__init__()
        self.settings = settings
        self.trunk = trunk
        shape = map_shape(self.trunk, settings.pixels())
        code = {"dense": dense_code, "local": local_code}[settings.code]
        inside = shape.after(settings.widths, settings.strides)
        self.reinforcer = Reinforcer(
            shape,
            settings.widths,
            settings.strides,
            code(inside, settings.code_size),
            _bound(settings, shape.channels),
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
        return self.settings.trunk in {"grey", "pixels"}

    def maps(self, images: Tensor) -> StandardisedMaps:
        """What R and D see, [n, c, h, w], of images uint8 [n, side, side, 3]."""
        return self.standardised(self.trunk(images))

    def standardised(self, raw: RawMaps) -> StandardisedMaps:
        """The trunk's maps [n, c, h, w] as R and D see them: of features, in the target class's spreads."""
        return StandardisedMaps(((raw - self.mean) / self.deviation).clamp(-10, 10))

    @torch.no_grad()
    def standardise(self, trunk_maps: "TrunkMaps") -> None:
        """Take the channels' means and, of features, deviations and bounds from maps of the target class."""
        total = torch.zeros(self.mean.shape[1], dtype=torch.float64)
        squares = torch.zeros_like(total)
        count = 0
        for start in range(0, len(trunk_maps), 64):
            rows = torch.arange(start, min(start + 64, len(trunk_maps)))
            maps = trunk_maps(rows).double().cpu()
            total += maps.sum(dim=(0, 2, 3))
            squares += maps.square().sum(dim=(0, 2, 3))
            count += maps.numel() // len(total)
        mean = total / count
        if self.works_on_pixels:
            self.centre.copy_(mean.view_as(self.centre))
            return
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean.view_as(self.mean))
        # A channel that the class hardly uses would drown the others.
        self.deviation.copy_(deviation.clamp_min(0.1 * float(deviation.mean())).view_as(self.deviation))
        if isinstance(self.reinforcer.output, WithinClass):
            every = torch.arange(len(trunk_maps))
            self.reinforcer.output.fit(self.standardised(trunk_maps(every)), _CLASS_QUANTILE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits D(X) and D(R(X)), restoration error: images uint8 [n, side, side, 3] -> three [n]."""
        return self.judge(self.trunk(images))

    def judge(self, raw: RawMaps) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, of the trunk's maps [n, c, h, w]."""
        maps = self.standardised(raw)
        restored = self.reinforcer(maps)
        return self.discriminator(maps), self.discriminator(restored), self._error(maps, restored)

    def restoration_error(self, raw: RawMaps) -> Tensor:
        """How badly R restores the trunk's maps [n, c, h, w]: [n], as `judge` gives it."""
        maps = self.standardised(raw)
        return self._error(maps, self.reinforcer(maps))

    def _error(self, maps: StandardisedMaps, restored: Tensor) -> Tensor:
        """|X - R(X)|^2, or its share of |X - centre|^2: of what sets X apart from the class's mean.

        Undivided, an empty image would pass for a well-restored one where R may give back anything.
        """
        error = (maps - restored).square().mean(dim=(1, 2, 3))
        if self.settings.error == "mean_square":
            return error
        return error / (maps - self.centre).square().mean(dim=(1, 2, 3)).clamp_min(1e-3)


class TrunkMaps:
    """A trunk's maps of a set of images by index: indices [n] -> float32 [n, c, h, w] on the trunk's device.

    A frozen network runs once over all images, and its maps are kept as float16; pixels are made anew.
    """

    def __init__(self, trunk: nn.Module, images: Images, device: torch.device) -> None:
        self._trunk = trunk
        self._images = torch.from_numpy(images)
        self._device = device
        self._kept: Tensor | None = None
        if not isinstance(trunk, Pixels):
            with torch.no_grad():
                parts = [trunk(batch).half().cpu() for batch in in_batches(images, device)]
            self._kept = torch.cat(parts)

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, indices: Tensor) -> RawMaps:
        """See the class."""
        if self._kept is not None:
            return RawMaps(self._kept[indices].to(self._device).float())
        maps: RawMaps = self._trunk(self._images[indices].to(self._device))
        return maps


@torch.no_grad()
def score_images(models: Sequence[AloccModel], images: Images) -> list[Scores]:
    """D(X), D(R(X)) (logits) and minus the restoration error, each [n], by models that share one trunk."""
    columns: list[list[tuple[Tensor, ...]]] = [[] for _ in models]
    for model in models:
        model.eval()
    for batch in in_batches(images, models[0].mean.device):
        maps = models[0].trunk(batch)
        for held, model in zip(columns, models, strict=True):
            held.append(tuple(part.double().cpu() for part in model.judge(maps)))
    return [_named(*(torch.cat(parts).numpy() for parts in zip(*held, strict=True))) for held in columns]


def _named(plain: Values, reinforced: Values, error: Values) -> Scores:
    return {DISCRIMINATED: plain, REINFORCED: reinforced, RESTORED: -error}


def in_batches(images: Images, device: torch.device, size: int = 64) -> Iterator[Tensor]:
    """Images as tensors on the device, `size` at a time."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.ascontiguousarray(images[start : start + size])).to(device)


@torch.no_grad()
def map_shape(trunk: nn.Module, pixels: ImageInput) -> MapShape:
    """The shape of the maps that a trunk makes of one image."""
    maps = trunk.eval()(torch.zeros(1, pixels.height, pixels.width, 3, dtype=torch.uint8))
    return MapShape(*maps.shape[1:])


def _bound(settings: ModelSettings, channels: int) -> nn.Module:
    if settings.restored == "within_class":
        return WithinClass(channels)
    return nn.Tanh() if settings.restored == "pixels" else nn.Identity()


def new_trunk(settings: ModelSettings) -> nn.Module:
    """The trunk that the settings name, its weights drawn at random."""
    if settings.trunk == "mobilenet_v2":
        return MobileNetV2(settings.trunk_blocks, settings.trunk_pool, settings.preprocess)
    if settings.trunk == "starter":
        return VerdictSpace()
    if settings.trunk == "encoder":
        return EncoderSpace(read_encoder(Path(settings.encoder)))
    return Pixels(channels=1 if settings.trunk == "grey" else 3)
