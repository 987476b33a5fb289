"""Nearest: the candidates for copies of each image, by vector."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024


def nearest(
    vectors: NDArray[np.float32], rows: Sequence[int], count: int
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """For each of `rows` the `count` nearest others, nearest first, with their cosine distance.

    Exact, in blocks: `vectors` is float32 [n, dim] of unit length.
    """
    count = min(count, len(vectors) - 1)
    if count < 1:
        return
    for start in range(0, len(rows), _BLOCK):
        block = np.asarray(rows[start : start + _BLOCK])
        distances = 1.0 - vectors[block] @ vectors.T
        distances[np.arange(len(block)), block] = np.inf
        near = np.argpartition(distances, count - 1, axis=1)[:, :count]
        for row, found, own in zip(block, near, distances, strict=True):
            order = found[np.lexsort((found, own[found]))]
            yield int(row), [(int(other), max(0.0, float(own[other]))) for other in order]
