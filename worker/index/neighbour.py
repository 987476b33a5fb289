"""A search result, and how results of several parts of the index become one list."""

from collections.abc import Iterable
from heapq import nsmallest
from typing import NamedTuple


class Neighbour(NamedTuple):
    """An indexed image near to a query; `distance` is the cosine distance, 0 to 2."""

    image_id: str
    distance: float


def nearest(neighbours: Iterable[Neighbour], count: int) -> list[Neighbour]:
    """The `count` nearest, nearest first; equal distances in the order of their ids."""
    return nsmallest(count, neighbours, key=lambda found: (found.distance, found.image_id))
