"""Which images are one picture uploaded several times: how a near-duplicate is decided, and its group.

An image joins the group of the nearest earlier copy of it, and else founds one, named by the digest of its
bytes. It stays in it until it is deleted or has another picture, whoever else comes and goes: groups never
merge, and outlive the image that founded them. Equal files found groups of equal names, in any order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.events import NearDuplicate
from worker.index.attributes import NOTHING_KNOWN, Attributes
from worker.index.backend import Change, IndexBackend
from worker.index.neighbour import Neighbour, cosine_distances

_DIGITS = 16


def founded_by(image_sha256: str) -> str:
    """The name of the group that an image with this digest founds: 64 bits, in hex."""
    return image_sha256[:_DIGITS]


@dataclass(frozen=True)
class Judged:
    """The near-duplicates of a changed image, nearest first, and its group; a deleted one has neither."""

    near: list[NearDuplicate]
    group: str | None


@dataclass(frozen=True)
class _Image:
    vector: NDArray[np.float32] | None
    known: Attributes


class Grouping:
    """Makes changes to `index` and judges what is near to each.

    Near are at most `count` others within `radius`, the cosine distance of their vectors. Of two with copy
    vectors `copy_distance` decides whether they are copies; others are similar, and so are all where it is
    None.
    """

    def __init__(self, index: IndexBackend, radius: float, count: int, copy_distance: float | None) -> None:
        self._index = index
        self._radius = radius
        self._count = count
        self._copy_distance = copy_distance

    def change_each(self, changes: Sequence[Change]) -> list[Judged]:
        """Make `changes` one after another; each is judged as of the moment after it."""
        images = self._held([change.image_id for change in changes])
        found = self._index.change_each(changes, self._count, self._radius)
        judged, joined = [], dict[str, Change]()
        for change, near in zip(changes, found, strict=True):
            joined.pop(change.image_id, None)
            if change.vector is None:
                images[change.image_id] = _Image(None, NOTHING_KNOWN)
                judged.append(Judged([], None))
                continue
            each = self._judge(change, change.vector, near, images)
            attributes = replace(change.attributes, group=each.group)
            images[change.image_id] = _Image(change.vector, attributes)
            if each.group != change.attributes.group:
                joined[change.image_id] = change._replace(attributes=attributes)
            judged.append(each)
        for change in joined.values():
            if change.vector is not None:
                self._index.upsert(change.image_id, change.vector, change.attributes)
        return judged

    def _held(self, image_ids: Sequence[str]) -> dict[str, _Image]:
        known = self._index.attributes_of(image_ids)
        return {
            image_id: _Image(None if each.group is None else self._index.vector(image_id), each)
            for image_id, each in zip(image_ids, known, strict=True)
        }

    def _judge(
        self,
        change: Change,
        vector: NDArray[np.float32],
        near: Sequence[Neighbour],
        images: Mapping[str, _Image],
    ) -> Judged:
        others = [each.image_id for each in near if each.image_id not in images]
        known = dict(zip(others, self._index.attributes_of(others), strict=True))
        duplicates = []
        for each in near:
            other = known[each.image_id] if each.image_id in known else images[each.image_id].known
            apart = self._apart(change.attributes, other)
            duplicates.append((self._told(each, apart), other.group))
        before = images.get(change.image_id, _Image(None, NOTHING_KNOWN))
        is_same = before.vector is not None and np.array_equal(before.vector, vector)
        group = before.known.group if is_same else self._group(change.attributes, duplicates)
        return Judged([each for each, _ in duplicates], group)

    def _apart(self, one: Attributes, other: Attributes) -> float | None:
        """The distance of their copy vectors; None where there is none to compare."""
        first, second = one.copy_vector, other.copy_vector
        if self._copy_distance is None or first is None or second is None or first.shape != second.shape:
            return None
        return float(cosine_distances(first[None], second)[0])

    def _told(self, near: Neighbour, apart: float | None) -> NearDuplicate:
        is_copy = apart is not None and self._copy_distance is not None and apart <= self._copy_distance
        return NearDuplicate(
            image_id=near.image_id,
            distance=near.distance,
            decided_by="copy" if is_copy else "similar",
            copy_distance=apart if is_copy else None,
        )

    def _group(self, mine: Attributes, duplicates: Sequence[tuple[NearDuplicate, str | None]]) -> str | None:
        """That of the nearest copy; of the nearest similar image where no copy vector could tell."""
        by_copy = self._copy_distance is not None and mine.copy_vector is not None
        wanted = "copy" if by_copy else "similar"
        joinable = [
            (each.distance if each.copy_distance is None else each.copy_distance, each.image_id, group)
            for each, group in duplicates
            if group is not None and each.decided_by == wanted
        ]
        return min(joinable)[2] if joinable else mine.group
