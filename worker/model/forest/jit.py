"""The kernel without a C compiler for many tags: compiled by numba as the program starts (mekiki[jit])."""

import numba
import numpy as np
from numpy.typing import NDArray

from worker.model.forest.answers import Hits
from worker.model.forest.bits import answers_of, margins_of
from worker.model.forest.file import ForestFile


class JitKernel:
    """See `Kernel`."""

    name = "numba"

    def block(self, forest: ForestFile, vectors: NDArray[np.float32]) -> "JitBlock":
        """See `Kernel.block`."""
        return JitBlock(forest, vectors, answers_of(forest, vectors))


class JitBlock:
    """See `Block`."""

    def __init__(self, forest: ForestFile, vectors: NDArray[np.float32], rows: NDArray[np.uint64]) -> None:
        self._forest, self._vectors, self._rows = forest, np.asarray(vectors, np.float32), rows
        self._trees = forest.trees.view(np.uint8).reshape(-1, forest.trees.itemsize)

    def hits(self, least: NDArray[np.float32], begin: int, end: int) -> Hits:
        """See `Block.hits`."""
        margins = self.margins(begin, end)
        tags, images = np.nonzero(margins >= least[begin:end, np.newaxis])
        return Hits((tags + begin).astype(np.uint32), images.astype(np.uint32), margins[tags, images])

    def margins(self, begin: int, end: int) -> NDArray[np.float32]:
        """See `Block.margins`."""
        tags = self._forest.tags[begin:end]
        totals = _totals(
            self._rows, self._trees.view(np.uint16), self._trees,
            np.ascontiguousarray(tags["first_tree"]), np.ascontiguousarray(tags["trees"]),
        )  # fmt: skip
        return margins_of(self._forest, begin, end, self._vectors, totals[:, : len(self._vectors)])


@numba.njit(nogil=True, cache=True)
def _totals(  # noqa: C901, PLR0912 - a loop nest, for one compiler
    rows: NDArray[np.uint64],
    questions: NDArray[np.uint16],
    raw: NDArray[np.uint8],
    first_tree: NDArray[np.uint32],
    trees: NDArray[np.uint32],
) -> NDArray[np.int32]:
    """Int32 [tags, 64 * words]: what the leaves of each tag add up to. The walk is that of lanes.c."""
    words = rows.shape[1]
    totals = np.zeros((len(trees), 64 * words), np.int32)
    bit = np.empty((6, words), np.uint64)
    open_rows = np.empty((16, words), np.uint64)
    values = np.empty(64, np.int32)
    low4, low2, low1 = (
        np.uint64(0x0F0F0F0F0F0F0F0F),
        np.uint64(0x3333333333333333),
        np.uint64(0x5555555555555555),
    )
    p = np.empty(8, np.uint64)
    for t in range(len(trees)):
        total = totals[t]
        for tree in range(first_tree[t], first_tree[t] + trees[t]):
            unit = np.int32(1) << np.int32(questions[tree, 63])
            for i in range(64):
                values[i] = unit * (np.int32(raw[tree, 128 + i]) + 256 * (np.int32(raw[tree, 192 + i]) - 128))
            bit[0] = rows[questions[tree, 0]]
            for level in range(1, 6):
                at = (1 << level) - 1
                count = 1 << (level - 1)
                for i in range(count):
                    no, yes = rows[questions[tree, at + i]], rows[questions[tree, at + i + count]]
                    for w in range(words):
                        open_rows[i, w] = no[w] ^ ((no[w] ^ yes[w]) & bit[0, w])
                for above in range(1, level):
                    count >>= 1
                    for i in range(count):
                        for w in range(words):
                            no_w = open_rows[i, w]
                            open_rows[i, w] = no_w ^ ((no_w ^ open_rows[i + count, w]) & bit[above, w])
                for w in range(words):
                    bit[level, w] = open_rows[0, w]
            for w in range(words):
                for k in range(6):
                    p[k] = bit[5 - k, w]
                p[6] = (p[2] >> np.uint64(4)) & low4
                p[2] &= low4
                p[7] = (p[3] >> np.uint64(4)) & low4
                p[3] &= low4
                for k in range(2):
                    x = ((p[k] >> np.uint64(4)) ^ p[k + 4]) & low4
                    p[k + 4] ^= x
                    p[k] ^= x << np.uint64(4)
                for k in (0, 1, 4, 5):
                    x = ((p[k] >> np.uint64(2)) ^ p[k + 2]) & low2
                    p[k + 2] ^= x
                    p[k] ^= x << np.uint64(2)
                for k in (0, 2, 4, 6):
                    x = ((p[k] >> np.uint64(1)) ^ p[k + 1]) & low1
                    p[k + 1] ^= x
                    p[k] ^= x << np.uint64(1)
                for r in range(8):
                    leaves = p[r]
                    for j in range(8):
                        total[64 * w + 8 * j + r] += values[(leaves >> np.uint64(8 * j)) & np.uint64(63)]
    return totals
