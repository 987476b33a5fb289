"""What is searchable in the cluster: it proposes objects, the database says which images have them.

Distances are those of the vectors in the database, so that none depends on how the cluster keeps its own.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter
from worker.errors import IndexUnavailable
from worker.index.neighbour import Neighbour, cosine_distances, nearest
from worker.index.vald.images import Images, Members
from worker.index.vald.layers import View

_BREADTH = 20  # NGT takes the number asked for as the breadth of its search: few would miss what is near
_HEADROOM = 8  # beyond what is asked for, where some count no more
# A search that asks for more than this share of all objects costs more than comparing all.
_WIDEST = 1 / 8
# What a proposed object costs, in images of the database that are compared.
_PROPOSAL_COST = 10


class Proposer(Protocol):
    """Cluster, of which a search needs no more."""

    def search(self, queries: NDArray[np.float32], size: int, seconds: float) -> list[list[str]]:
        """See Cluster."""


class Stored:
    """Searches below the layers of a view, for any thread."""

    def __init__(self, images: Images, cluster: Proposer) -> None:
        self._images = images
        self._cluster = cluster

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        view: View,
        where: SearchFilter | None,
        seconds: float,
    ) -> list[Neighbour]:
        """About the `count` nearest images to `query` (float32 [dim], unit norm) that `where` lets in.

        Exact where it lets in so few that comparing each costs less, or the cluster proposes too few.

        Raises:
            IndexUnavailable: within `seconds` the cluster does not answer, or not all can be compared.

        """
        total = self._images.objects()
        if where is not None:
            few = int((_PROPOSAL_COST * count * total) ** 0.5) + 1
            if self._images.matching(where, few) < few:
                return self._compare_all(query, count, view, where, seconds)
        size = max(count + _HEADROOM, _BREADTH)
        while size <= _WIDEST * total:
            names = self._proposed(query[None], size, seconds)[0]
            with self._images.members() as members:
                ranked = _ranked(query, names, self._images.known(names))
                found = _images_of(ranked, members, count, view, where)
            if len(found) >= count:
                return found
            size *= 4
        return self._compare_all(query, count, view, where, seconds)

    def within(
        self, queries: NDArray[np.float32], radius: float, count: int, views: Sequence[View], seconds: float
    ) -> list[list[Neighbour]]:
        """For each query (float32 [n, dim], unit norm) about the `count` nearest in `radius` at its view."""
        if not self._images.objects():
            return [[] for _ in views]
        proposed = self._proposed(queries, max(count + _HEADROOM, _BREADTH), seconds)
        known = self._images.known({name for names in proposed for name in names})
        with self._images.members() as members:
            return [
                _images_of(_ranked(query, names, known, radius), members, count, view)
                for query, names, view in zip(queries, proposed, views, strict=True)
            ]

    def _proposed(self, queries: NDArray[np.float32], size: int, seconds: float) -> list[set[str]]:
        """Names of objects that may be near; what a query equals is among them, found by the graph or not."""
        found = self._cluster.search(queries, size, seconds)
        return [{*names, self._images.name(query)} for query, names in zip(queries, found, strict=True)]

    def _compare_all(
        self,
        query: NDArray[np.float32],
        count: int,
        view: View,
        where: SearchFilter | None,
        seconds: float,
    ) -> list[Neighbour]:
        found: list[Neighbour] = []
        end = time.monotonic() + seconds
        for ids, vectors in self._images.each(where):
            if time.monotonic() > end:
                raise IndexUnavailable(
                    f"the cluster proposes too few, and {self._images.objects()} vectors are too many to "
                    f"compare in {seconds:g} s (index.vald.timeout): has an agent lost its own?"
                )
            distances = cosine_distances(vectors, query)
            near = (
                Neighbour(ids[row], float(distances[row]))
                for row in np.argsort(distances).tolist()
                if view.shows_below(ids[row])
            )
            found = nearest([*found, *islice(near, count)], count)
        return found


def _ranked(
    query: NDArray[np.float32],
    names: Iterable[str],
    known: Mapping[str, NDArray[np.float32]],
    radius: float = 2.0,
) -> list[tuple[float, str]]:
    """Those of `names` that are known and within `radius`, each after its cosine distance; nearest first."""
    found = [name for name in names if name in known]
    if not found:
        return []
    distances = cosine_distances(np.stack([known[name] for name in found]), query).tolist()
    return sorted(pair for pair in zip(distances, found, strict=True) if pair[0] <= radius)


def _images_of(
    ranked: Sequence[tuple[float, str]],
    members: Members,
    count: int,
    view: View,
    where: SearchFilter | None = None,
) -> list[Neighbour]:
    """The `count` nearest images of `ranked` objects that count in `view`."""
    found: list[Neighbour] = []
    reached = 0.0
    for distance, name in ranked:
        if len(found) >= count and distance > reached:
            break
        shown = filter(view.shows_below, members.of(name, where))
        found += [Neighbour(image_id, distance) for image_id in islice(shown, count)]
        reached = distance
    return nearest(found, count)
