"""Detail: numbers of the full-size luminance, which the sizes that models see have lost.

They are measured on the middle of the image, so that a large one costs no more than a small one.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import Measure

DETAIL: frozenset[Measure] = frozenset({"sharpness", "noise", "blockiness"})
# The middle that is looked at, in pixels, a multiple of JPEG's blocks; and what is measured at full size.
SIDE = 256
MAX_PIXELS = 2_000_000
_BLOCK = 8


def reduction(size: tuple[int, int]) -> int:
    """By how much an image is made smaller first: the least of 1, 2, 4, 8 that leaves `MAX_PIXELS`, or 8."""
    return next((by for by in (1, 2, 4) if size[0] * size[1] <= MAX_PIXELS * by * by), _BLOCK)


def middle(size: tuple[int, int], by: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the middle of an image that is still to be made smaller by `by`.

    It begins at a corner of JPEG's blocks, so that their edges are where they are looked for.
    """
    width, height = (min(length // by, SIDE) * by for length in size)
    left, top = (size[0] - width) // 2 // _BLOCK * _BLOCK, (size[1] - height) // 2 // _BLOCK * _BLOCK
    return left, top, left + width, top + height


def detail(luminance: NDArray[np.uint8], by: int = 1) -> dict[Measure, float]:
    """Sharpness, noise and blockiness of uint8 [rows, columns], an image made smaller by `by`.

    `sharpness` is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000), in squared grey levels. `noise` is the standard deviation of white noise, in grey
    levels (Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996). `blockiness` is how much larger
    the mean step between JPEG's blocks is than within them (after Wang, Sheikh and Bovik, "No-reference
    perceptual quality assessment of JPEG compressed images", ICIP 2002): 1 where no block shows. What is
    too small to tell gives 0, 0 and 1.
    """
    rows, columns = luminance.shape
    if min(rows, columns) < 3:
        return {"sharpness": 0.0, "noise": 0.0, "blockiness": 1.0}
    values = luminance.astype(np.int16)
    across = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    down = values[:-2] - 2 * values[1:-1] + values[2:]
    laplacian = across[1:-1] + down[:, 1:-1]
    both = across[:-2] - 2 * across[1:-1] + across[2:]
    return {
        "sharpness": float(laplacian.var(dtype=np.float64)),
        "noise": float(np.sqrt(np.pi / 2) / 6 * np.abs(both).mean(dtype=np.float64)),
        "blockiness": _blockiness(values, _BLOCK // by),
    }


def _blockiness(values: NDArray[np.int16], block: int) -> float:
    if block < 2:
        return 1.0
    at_edges, within = [], []
    for steps in (np.abs(np.diff(values, axis=1)), np.abs(np.diff(values, axis=0)).T):
        means = steps.mean(axis=0, dtype=np.float64)
        edges = np.zeros(len(means), bool)
        edges[block - 1 :: block] = True
        at_edges.append(means[edges])
        within.append(means[~edges])
    if not len(at_edges[0]) or not len(at_edges[1]):
        return 1.0
    # Half a grey level each: a flat image has no blocks, whatever the quotient of two small numbers is.
    return float((np.concatenate(at_edges).mean() + 0.5) / (np.concatenate(within).mean() + 0.5))
