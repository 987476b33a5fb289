"""Vectors grouped by the nearest of some centroids, so that what is very near to a query is found exactly.

An inverted file (Jegou, Douze and Schmid, 2011) with the triangle inequality in place of a number of probes:
a vector within `reach` of a query lies in a cell whose centroid is at most twice `reach` farther from the
query than the nearest centroid is. NGT answers what is near at all; this answers what is nearly the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.index.neighbour import products

# Beyond these, a wide radius would compare nearly everything: the answer is approximate then.
MAX_PROBES = 32
# Rounding of distances between unit vectors in float32.
_ROUNDING = 1e-3
_CELLS_PER_ROOT = 1.6
_CHUNK = 8192


@dataclass(frozen=True)
class Cells:
    """Centroids float32 [cells, dim]; vectors `starts[i]` to `starts[i + 1]` are those of cell i."""

    centroids: NDArray[np.float32]
    starts: NDArray[np.int64]

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        return _squares_of(self.centroids)

    def near(self, queries: NDArray[np.float32], reach: float) -> NDArray[np.bool_]:
        """Which cells may hold a vector within L2 distance `reach` of each query, bool [queries, cells].

        `queries` are float32 [queries, dim] of unit norm.
        """
        distances = _distances(queries, self.centroids, self._squares)
        near: NDArray[np.bool_] = distances <= distances.min(axis=1, keepdims=True) + (2 * reach + _ROUNDING)
        if np.count_nonzero(near) > MAX_PROBES < distances.shape[1]:  # in all: of one query perhaps
            near &= distances <= np.partition(distances, MAX_PROBES - 1, axis=1)[:, MAX_PROBES - 1, None]
        return near

    def of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of the vector at each of `places`."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def within(
        self,
        vectors: Callable[[int, int], NDArray[np.float32]],
        queries: NDArray[np.float32],
        radius: float,
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
        """A query, and places and distances of vectors of one cell within cosine distance `radius` of it.

        `vectors` gives those from one place to another, cell after cell; `queries` are float32 [n, dim] of
        unit norm. Exact while the radius asks for few cells (MAX_PROBES), as nearly equal vectors do.
        """
        asked = self.near(queries, (2.0 * radius) ** 0.5)
        for cell in np.flatnonzero(asked.any(axis=0)):
            who = np.flatnonzero(asked[:, cell])
            first, last = int(self.starts[cell]), int(self.starts[cell + 1])
            distances = 1.0 - products(queries[who], vectors(first, last))
            near = distances <= radius
            for asker in np.flatnonzero(near.any(axis=1)):
                rows = np.flatnonzero(near[asker])
                yield int(who[asker]), first + rows, np.maximum(distances[asker, rows], 0.0)


def group(vectors: NDArray[np.float32], seed: int = 0) -> tuple[Cells, NDArray[np.int64]]:
    """Cells of `vectors` (float32 [n, dim], unit norm, n > 0), and the order that puts cell after cell."""
    count = max(1, int(_CELLS_PER_ROOT * len(vectors) ** 0.5))
    chosen = np.random.default_rng(seed).choice(len(vectors), min(count, len(vectors)), replace=False)
    centroids = vectors[np.sort(chosen)]
    centroids = _means(vectors, _assign(vectors, centroids), centroids)
    cell = _assign(vectors, centroids)
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(centroids)))]).astype(np.int64)
    return Cells(centroids, starts), np.argsort(cell, kind="stable")


def _assign(vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    squares = _squares_of(centroids)
    nearest = [
        _distances(vectors[first : first + _CHUNK], centroids, squares).argmin(axis=1)
        for first in range(0, len(vectors), _CHUNK)
    ]
    return np.concatenate(nearest)


def _means(
    vectors: NDArray[np.float32], cell: NDArray[np.int64], centroids: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One step of Lloyd's: the mean of each cell; an empty one keeps its centroid."""
    sums = np.zeros_like(centroids)
    np.add.at(sums, cell, vectors)
    counts = np.bincount(cell, minlength=len(centroids))[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), centroids).astype(np.float32)


def _squares_of(centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = (centroids * centroids).sum(axis=1)
    return squares


def _distances(
    queries: NDArray[np.float32], centroids: NDArray[np.float32], squares: NDArray[np.float32]
) -> NDArray[np.float32]:
    """L2 distances of unit vectors to centroids of these squared norms, float32 [queries, centroids]."""
    squared = 1.0 + squares - 2.0 * products(queries, centroids)
    distances: NDArray[np.float32] = np.sqrt(np.maximum(squared, 0.0))
    return distances
