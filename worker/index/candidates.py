"""Candidates: what the parts of an index have near to queries, and the choice of the nearest among them.

Each part says which of its vectors may be among the nearest, and how far these are but for rounding. The
choice is made once, over all parts and queries; exact distances and names are of what is chosen alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.index.neighbour import Neighbour, cosine_distances

# Of a change that has not happened: later than any.
NEVER = 2**63

Limits = NDArray[np.float32]

# Products of float32 vectors of unit norm are right to about 1e-7, and differ with what is multiplied beside.
_ROUNDING = 1e-6
_BEYOND = 4.0  # any distance
_WIDER = 4  # times as many, each time that too few of them count


class Candidates(NamedTuple):
    """Rows of a part that may be among the nearest: `rows[i]` to query `whose[i]`, int64 [n]; no pair twice.

    `distances`, float [n], are cosine distances, right but for rounding.
    """

    whose: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.floating[Any]]

    def only(self, kept: NDArray[np.bool_]) -> "Candidates":
        """Those that are `kept`, bool [n]."""
        if kept.all():
            return self
        return Candidates(self.whose[kept], self.rows[kept], self.distances[kept])

    def counts(self, queries: int) -> NDArray[np.int64]:
        """How many each query has, int64 [queries]."""
        return np.bincount(self.whose, minlength=queries)

    def limits(self, queries: int, count: int) -> Limits:
        """How far the `count` nearest of each query reach, and what rounding may hide: float32 [queries].

        Infinite where a query has fewer.
        """
        limits = np.full(queries, np.inf, np.float32)
        counts = self.counts(queries)
        enough = np.flatnonzero(counts >= count)
        ordered = np.sort(self.whose * _BEYOND + self.distances)
        places = (counts.cumsum() - counts)[enough] + count - 1
        limits[enough] = ordered[places] - enough * _BEYOND + _ROUNDING
        return limits


class Part(NamedTuple):
    """What a part of an index has for queries.

    Its candidates all count: what it has within the limits that it was told, or of each query as many as were
    asked for, at least, or all. `vectors` gives those of rows, float32 [rows, dim], and `ids` the images in
    one row, in order, at most so many.
    """

    candidates: Candidates
    vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    ids: Callable[[int, int], Sequence[str]]


def nearest_among(parts: Sequence[Part], queries: NDArray[np.float32], count: int) -> list[list[Neighbour]]:
    """The `count` nearest to each of `queries` (float32 [n, dim], unit norm), nearest first.

    Equal distances in the order of their ids.
    """
    limits = limits_among(parts, len(queries), count)
    chosen = [each.only(each.distances <= limits[each.whose]) for each, _, _ in parts]
    whose, rows, _ = joined(chosen)
    vectors = np.concatenate([part.vectors(each.rows) for part, each in zip(parts, chosen, strict=True)])
    distances = cosine_distances(vectors, queries[whose])
    numbers = np.repeat(np.arange(len(parts)), [len(each.rows) for each in chosen])
    found: list[list[tuple[float, str]]] = [[] for _ in queries]
    columns = (column.tolist() for column in (numbers, whose, rows, distances))
    for number, query, row, distance in zip(*columns, strict=True):
        found[query] += [(distance, image_id) for image_id in parts[number].ids(row, count)]
    return [[Neighbour(image_id, distance) for distance, image_id in sorted(each)[:count]] for each in found]


def limits_among(parts: Sequence[Part], queries: int, count: int) -> Limits:
    """How far the `count` nearest of each query reach in what `parts` have; as Candidates.limits."""
    if not parts:
        return np.full(queries, np.inf, np.float32)
    return joined([part.candidates for part in parts]).limits(queries, count)


def joined(candidates: Sequence[Candidates]) -> Candidates:
    """All of them, one after another."""
    return Candidates(*(np.concatenate(columns) for columns in zip(*candidates, strict=True)))


def compared(
    distances: NDArray[np.float32],
    rows: NDArray[np.int64],
    count: int,
    limits: Limits,
    counting: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> Candidates:
    """Of `rows`, which are at `distances` (float32 [queries, rows]), those that may be among the nearest.

    All that are within the limit of each query; `count` at least, or all, where it is infinite. `counting`
    says which of rows count.
    """
    asked = count
    while True:
        is_all = asked >= len(rows) or bool(np.isfinite(limits).all())
        reach = limits if is_all else np.minimum(limits, _smallest(distances, asked))
        whose, places = np.divmod(np.flatnonzero(distances <= reach[:, None]), len(rows))
        found = Candidates(whose, rows[places], distances[whose, places])
        found = found.only(counting(found.rows))
        if is_all or (np.isfinite(limits) | (found.counts(len(distances)) >= count)).all():
            return found
        asked *= _WIDER


def _smallest(distances: NDArray[np.float32], count: int) -> Limits:
    """The `count`-th smallest of each row of `distances`, and what rounding may hide."""
    limits: Limits = np.partition(distances, count - 1, axis=1)[:, count - 1] + np.float32(_ROUNDING)
    return limits
