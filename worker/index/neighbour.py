"""A search result, and how results of several parts of the index become one list."""

from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 7
_FEW = 32


class Neighbour(NamedTuple):
    """An indexed image near to a query; `distance` is the cosine distance, 0 to 2."""

    image_id: str
    distance: float


def nearest(neighbours: Iterable[Neighbour], count: int) -> list[Neighbour]:
    """The `count` nearest, nearest first; equal distances in the order of their ids."""
    return nsmallest(count, neighbours, key=lambda found: (found.distance, found.image_id))


def cosine_distances(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of `vectors` (float32 [n, dim], unit norm) to `query` (float32 [dim], unit norm): float64 [n], 0 to 2.

    To one query, or to a query of its own each, float32 [n, dim].

    The same for the same two vectors, wherever they lie and whatever is compared beside them, so that the
    order of results never changes by itself. BLAS adds up in an order that depends on all of that.
    """
    products = vectors.astype(np.float64) * query.astype(np.float64)
    distances: NDArray[np.float64] = np.clip(1.0 - products.sum(axis=1), 0.0, 2.0).round(_DECIMALS)
    return distances


def products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each of `queries` (float32 [n, dim]) with all `vectors` (float32 [m, dim]): float32 [n, m].

    BLAS packs what stands on the left: where that is most of it, in twice the time.
    """
    if len(queries) > _FEW:
        return queries @ vectors.T
    return np.ascontiguousarray((vectors @ queries.T).T)


def ascending(distances: NDArray[np.floating[Any]], few: int) -> Iterator[int]:
    """Places of `distances` from the smallest on; only the first `few` are cheap where there are many."""
    if few >= len(distances):
        yield from np.argsort(distances, kind="stable").tolist()
        return
    parted = np.argpartition(distances, few)
    for places in (parted[:few], parted[few:]):
        yield from places[np.argsort(distances[places], kind="stable")].tolist()
