"""Codebook: the cuts that turn each number of a vector into a byte. Training and serving share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.forest import MOST_CUTS, MOST_QUESTIONS

# As many as trees choose their splits among (64 bins). The answers to 12,348 questions of 196 dimensions stay
# in a core's second cache, which twice as fast a forest hangs on; those to four times as many do not.
CUTS: Final = 63


@dataclass(frozen=True)
class Codebook:
    """`cuts` float32 [questions], those of dimension f ascending from `first[f]` to `first[f + 1]`.

    A code says how many cuts of its dimension the number reaches: 0 to 255.
    """

    first: NDArray[np.uint32]
    cuts: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return len(self.first) - 1

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Codes uint8 [n, dim] of vectors float32 [n, dim]."""
        codes = np.empty(vectors.shape, np.uint8)
        for f in range(self.dim):
            own = self.cuts[self.first[f] : self.first[f + 1]]
            codes[:, f] = np.searchsorted(own, vectors[:, f], side="right")
        return codes


def fit_codebook(vectors: NDArray[np.float32], cuts: int = CUTS) -> Codebook:
    """At most `cuts` cuts at the quantiles of each dimension of `vectors` [n, dim], equal ones once.

    There are at most 255, and so few of wide vectors that a question fits in 16 bits.
    """
    most = min(cuts, MOST_CUTS, MOST_QUESTIONS // vectors.shape[1])
    return codebook_of([_cuts(column, most) for column in vectors.T])


def _cuts(column: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Halfway between numbers that occur, so that rounding decides nothing."""
    values, counts = np.unique(column, return_counts=True)
    below = np.arange(len(values) - 1)
    if len(below) > most:
        wanted = np.arange(1, most + 1) * (len(column) / (most + 1))
        below = np.unique(np.searchsorted(np.cumsum(counts), wanted).clip(max=len(values) - 2))
    middle = ((values[below].astype(np.float64) + values[below + 1]) / 2).astype(np.float32)
    return np.where(middle > values[below], middle, values[below + 1])


def codebook_of(columns: Sequence[NDArray[np.float32]]) -> Codebook:
    """The codebook of ascending cuts, one array a dimension; one cut where there is none at all."""
    if not any(map(len, columns)):
        columns = [np.zeros(1, np.float32), *columns[1:]]
    first = np.concatenate([[0], np.cumsum([len(own) for own in columns])]).astype(np.uint32)
    return Codebook(first, np.concatenate(columns).astype(np.float32))
