"""The kernel without a compiler: rows of bits in numpy, many trees at a time."""

import numpy as np
from numpy.typing import NDArray

from schemas.forest import DEPTH
from worker.model.forest.answers import Hits
from worker.model.forest.file import ForestFile

_TREES = 128  # at a time: their rows stay in the second cache
_WORD = 64


class BitsKernel:
    """See `Kernel`."""

    name = "numpy"

    def block(self, forest: ForestFile, vectors: NDArray[np.float32]) -> "BitsBlock":
        """See `Kernel.block`."""
        return BitsBlock(forest, vectors, answers_of(forest, vectors))


def answers_of(forest: ForestFile, vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Uint64 [questions, words]: bit i of a row, the lowest first, says whether image i answers yes."""
    book = forest.codebook
    codes = book.encode(np.ascontiguousarray(vectors, np.float32))
    words = -(-len(codes) // _WORD)
    rows = np.zeros((len(book.cuts), words * 8), np.uint8)
    for f in range(book.dim):
        begin, end = int(book.first[f]), int(book.first[f + 1])
        above = codes[:, f] > np.arange(end - begin, dtype=np.uint8)[:, np.newaxis]
        packed = np.packbits(above, axis=1, bitorder="little")
        rows[begin:end, : packed.shape[1]] = packed
    return rows.view(np.uint64)


class BitsBlock:
    """See `Block`."""

    def __init__(self, forest: ForestFile, vectors: NDArray[np.float32], rows: NDArray[np.uint64]) -> None:
        self._forest, self._vectors, self._rows = forest, np.asarray(vectors, np.float32), rows

    def hits(self, least: NDArray[np.float32], begin: int, end: int) -> Hits:
        """See `Block.hits`."""
        margins = self.margins(begin, end)
        tags, images = np.nonzero(margins >= least[begin:end, np.newaxis])
        return Hits((tags + begin).astype(np.uint32), images.astype(np.uint32), margins[tags, images])

    def margins(self, begin: int, end: int) -> NDArray[np.float32]:
        """See `Block.margins`."""
        tags = self._forest.tags[begin:end]
        totals = np.stack([self._total(int(tag["first_tree"]), int(tag["trees"])) for tag in tags])
        return margins_of(self._forest, begin, end, self._vectors, totals)

    def _total(self, first: int, count: int) -> NDArray[np.int32]:
        total = np.zeros(self._rows.shape[1] * _WORD, np.int32)
        for start in range(first, first + count, _TREES):
            total += self._leaves(start, min(start + _TREES, first + count)).sum(axis=0, dtype=np.int32)
        return total[: len(self._vectors)]

    def _leaves(self, start: int, end: int) -> NDArray[np.int32]:
        """Int32 [trees, images]."""
        trees = self._forest.trees[start:end]
        asked = trees["question"]
        bits: list[NDArray[np.uint64]] = []
        for level in range(DEPTH):
            nodes = slice((1 << level) - 1, (2 << level) - 1)
            rows = self._rows[asked[:, nodes]]
            for bit in bits:
                half = rows.shape[1] // 2
                no = rows[:, :half]
                rows = no ^ ((no ^ rows[:, half:]) & bit[:, np.newaxis])
            bits.append(rows[:, 0])
        leaf = np.zeros((end - start, self._rows.shape[1] * _WORD), np.int64)
        for bit in bits:
            leaf <<= 1
            leaf |= np.unpackbits(np.ascontiguousarray(bit).view(np.uint8), axis=1, bitorder="little")
        table = trees["low"].astype(np.int32) + ((trees["high"].astype(np.int32) - 128) << 8)
        table <<= trees["shift"].astype(np.int32)[:, np.newaxis]
        return np.take_along_axis(table, leaf, axis=1)


def margins_of(
    forest: ForestFile,
    begin: int,
    end: int,
    vectors: NDArray[np.float32],
    totals: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Margins float32 [tags, images] of the tags from `begin` to `end`, whose leaves add up to `totals`."""
    tags = forest.tags[begin:end]
    margins = tags["base"][:, np.newaxis] + tags["scale"][:, np.newaxis] * totals.astype(np.float32)
    linear = np.flatnonzero(tags["linear"] >= 0)
    if len(linear):
        # Row by row: BLAS adds up in another order for another number of images.
        weights = forest.linear[tags["linear"][linear]]
        margins[linear] += np.einsum("tf,nf->tn", weights, vectors)
    return np.asarray(margins, np.float32)
