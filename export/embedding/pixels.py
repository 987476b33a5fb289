"""The pixels that the starter's trunk takes, and an image set at both sizes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 128
WIDE = 144  # training crops SIDE out of this


@dataclass(frozen=True)
class PixelSet:
    """The same images twice: `exact` as serving decodes them, `wide` to crop from in training.

    exact: uint8 [n, SIDE, SIDE, 3]; wide: uint8 [n, WIDE, WIDE, 3].
    """

    exact: NDArray[np.uint8]
    wide: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.exact)

    def first(self, count: int) -> "PixelSet":
        """The first `count` images."""
        return PixelSet(self.exact[:count], self.wide[:count])
