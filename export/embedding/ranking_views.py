"""Views of images as the frozen part of a net sees them, computed once: training costs the rest alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from export.attributes.levels import FROZEN, LevelEncoder
from export.embedding.augment import view
from export.embedding.trunk import to_input
from export.pixels import room_for
from export.progress import progress

SIDE = 160  # of the views: half the work of the 224 px that are served
COUNT = 4
_SMALL = 28  # of the averaged image
_BATCH = 32
See = Callable[[Tensor], NDArray[np.float32]]


@dataclass(frozen=True)
class Views:
    """View 0 is the image itself.

    seen: float [views, n, ...], what the frozen part gives; small: uint8 [views, n, 3, side, side].
    """

    seen: NDArray[np.floating]
    small: NDArray[np.uint8]


def shrunk(images: Tensor) -> Tensor:
    """Averaged images [n, 3, side, side] of [n, 3, height, width], from every second square of each row.

    Fewer pixels than squares, but none that mixes the colours of what lies far apart.
    """
    stride = images.shape[-1] // _SMALL
    return F.avg_pool2d(images, max(stride // 2, 1), stride)


def small_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Averaged images [n, 3, side, side] of uint8 images [n, height, width, 3]."""
    rows = range(0, len(images), _BATCH)
    return np.concatenate([_small(_input(images[at : at + _BATCH])) for at in rows])


def encoder_views(vectors: NDArray[np.float32], small: NDArray[np.uint8]) -> Views:
    """The images themselves alone, of an encoder nothing of which is trained."""
    return Views(vectors[None], small[None])


def views_of(images: NDArray[np.uint8], see: See, count: int, seed: int, storage: Path) -> Views:
    """Each of uint8 images [n, height, width, 3], and `count` views in which colours move little.

    Args:
        images: as they are served.
        see: float32 [n, 3, height, width] in [-1, 1] to what is kept of them [n, ...].
        count: of the views beside the images themselves.
        seed: of the views.
        storage: a file for what does not fit in memory.

    """
    torch.manual_seed(seed)
    maps, averages = see(_input(images[:1])).shape[1:], small_of(images[:1]).shape[1:]
    shape = count + 1, len(images)
    seen = room_for((*shape, *maps), np.dtype(np.float16), storage.with_suffix(".seen.npy"))
    small = room_for((*shape, *averages), np.dtype(np.uint8), storage.with_suffix(".small.npy"))
    with progress(len(images), "views") as done:
        for start in range(0, len(images), _BATCH):
            plain = _input(images[start : start + _BATCH])
            rows = slice(start, start + len(plain))
            for number in range(count + 1):
                shown = plain if number == 0 else view(plain, number - 1)
                seen[number, rows], small[number, rows] = see(shown), _small(shown)
            done(len(plain))
    return Views(seen, small)


def _input(images: NDArray[np.uint8]) -> Tensor:
    return to_input(torch.from_numpy(np.ascontiguousarray(images)))


def _small(shown: Tensor) -> NDArray[np.uint8]:
    return ((shrunk(shown) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def frozen_blocks(network: LevelEncoder) -> See:
    """The maps [n, 96, 10, 10] of the blocks that no training changes, of images at SIDE pixels."""
    blocks = fuse(network.features[:FROZEN].eval()).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def see(shown: Tensor) -> NDArray[np.float32]:
        pixels = (F.interpolate(shown, (SIDE, SIDE), mode="bilinear", antialias=True) + 1) * 127.5
        maps: NDArray[np.float32] = blocks(network.normalise(pixels.permute(0, 2, 3, 1))).numpy()
        return maps

    return see
