"""What was near to new images when they came: copies by their copy vectors, others by their embeddings.

Of two images that have copy vectors these alone decide: their embeddings are not compared.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.index.backend import Near
from worker.index.neighbour import Neighbour
from worker.index.ngt.view import View
from worker.index.tail import Tail

Found = list[list[Neighbour]]


class Asked(NamedTuple):
    """A new image and the moment that it came: float32 [dim] and, where it has one, its copy vector."""

    vector: NDArray[np.float32]
    copy_vector: NDArray[np.float32] | None
    view: View


def near(asked: Sequence[Asked], radius: float, copy_radius: float | None, count: int) -> list[Near]:
    """For each what was within the cosine distances, in no order; all views have the same parts.

    Of each kind the `count` nearest at least: of thousands that are equal a few. Without `copy_radius` the
    embeddings of all are compared.
    """
    found = [Near([], []) for _ in asked]
    with_copy = [number for number, each in enumerate(asked) if each.copy_vector is not None]
    if copy_radius is None:
        with_copy = []
    else:
        chosen = [asked[number] for number in with_copy]
        for number, copies in zip(with_copy, _by_copy_vector(chosen, copy_radius, count), strict=True):
            found[number].copies.extend(copies)
    without = sorted({*range(len(asked))} - {*with_copy})
    for numbers, only_without in ((with_copy, True), (without, False)):
        chosen = [asked[number] for number in numbers]
        similar = _by_embedding(chosen, radius, count, only_without_copy_vector=only_without)
        for number, alike in zip(numbers, similar, strict=True):
            found[number].similar.extend(alike)
    return found


def _by_copy_vector(asked: Sequence[Asked], radius: float, count: int) -> Found:
    if not asked:
        return []
    queries = np.stack([each.copy_vector for each in asked if each.copy_vector is not None])
    changes = [each.view.change for each in asked]
    found: Found = [[] for _ in asked]
    for tail, lengths in _tails(asked):
        _extend(found, tail.copies_within(queries, radius, lengths, changes, count))
    for segment in asked[-1].view.segments:
        _extend(found, segment.copies_within(queries, radius, changes, count))
    return found


def _by_embedding(
    asked: Sequence[Asked], radius: float, count: int, *, only_without_copy_vector: bool
) -> Found:
    """What is near by its embedding, of all images or of those alone that have no copy vector."""
    if not asked:
        return []
    queries = np.stack([each.vector for each in asked])
    changes = [each.view.change for each in asked]
    found: Found = [[] for _ in asked]
    for tail, lengths in _tails(asked):
        held = tail.lacks_copy_vector(max(lengths)) if only_without_copy_vector else None
        if held is None or held.any():
            _extend(found, tail.within(queries, radius, lengths, changes, held, count))
    for segment in asked[-1].view.segments:
        held = segment.lacks_copy_vector if only_without_copy_vector else None
        if held is None or held.any():
            _extend(found, segment.within(queries, radius, changes, held, count))
    return found


def _tails(asked: Sequence[Asked]) -> Iterator[tuple[Tail, list[int]]]:
    """Each tail, and how many of its rows there were at each moment."""
    for number, (tail, _) in enumerate(asked[-1].view.tails):
        yield tail, [each.view.tails[number][1] for each in asked]


def _extend(found: Found, more: Found) -> None:
    for these, those in zip(found, more, strict=True):
        these.extend(those)
