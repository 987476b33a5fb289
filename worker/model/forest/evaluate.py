"""Evaluate: vectors to the tags that reach their thresholds, by all cores."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.cores import cores
from worker.model.forest.answers import MOST_IMAGES, Block, Hits, Kernel
from worker.model.forest.file import ForestFile

_TAGS = 256  # of one task
_T = TypeVar("_T")


class Evaluator:
    """A forest on a kernel. Owned by one thread, helped by a pool of `threads` (0: one for each core)."""

    def __init__(self, forest: ForestFile, kernel: Kernel, threads: int) -> None:
        self.forest, self.kernel = forest, kernel
        self._pool = ThreadPoolExecutor(threads or cores(), "tags")

    def close(self) -> None:
        """End the pool."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def hits(self, vectors: NDArray[np.float32], least: NDArray[np.float32]) -> Hits:
        """Where margins of `vectors` [n, dim] are at least `least` float32 [tags]."""
        found: list[Hits] = []
        for start, block in self._blocks(vectors):
            parts = self._each(partial(block.hits, least), 0, self.forest.header.tags)
            found += [Hits(part.tags, part.images + np.uint32(start), part.margins) for part in parts]
        return Hits(
            np.concatenate([part.tags for part in found]) if found else np.empty(0, np.uint32),
            np.concatenate([part.images for part in found]) if found else np.empty(0, np.uint32),
            np.concatenate([part.margins for part in found]) if found else np.empty(0, np.float32),
        )

    def margins(
        self, vectors: NDArray[np.float32], begin: int = 0, end: int | None = None
    ) -> NDArray[np.float32]:
        """Every margin of the tags from `begin` to `end`: float32 [n, tags]."""
        end = self.forest.header.tags if end is None else end
        rows = [np.concatenate(self._each(block.margins, begin, end)).T for _, block in self._blocks(vectors)]
        return np.concatenate(rows) if rows else np.empty((0, end - begin), np.float32)

    def _blocks(self, vectors: NDArray[np.float32]) -> Iterator[tuple[int, Block]]:
        for start in range(0, len(vectors), MOST_IMAGES):
            yield start, self.kernel.block(self.forest, vectors[start : start + MOST_IMAGES])

    def _each(self, run: Callable[[int, int], _T], begin: int, end: int) -> list[_T]:
        begins = range(begin, end, _TAGS)
        if len(begins) == 1:
            return [run(begin, end)]
        return list(self._pool.map(lambda at: run(at, min(end, at + _TAGS)), begins))
