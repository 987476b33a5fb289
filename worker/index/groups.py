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
from worker.index.backend import Change, IndexBackend, Near
from worker.index.neighbour import cosine_distances

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

    Near are at most `count` others: copies, within `copy_distance` by copy vectors, and after them similar
    ones, within `radius` by embeddings, of which a copy vector cannot tell. Without `copy_distance` none can.
    """

    def __init__(self, index: IndexBackend, radius: float, count: int, copy_distance: float | None) -> None:
        self._index = index
        self._radius = radius
        self._count = count
        self._copy_distance = copy_distance

    def change_each(self, changes: Sequence[Change]) -> list[Judged]:
        """Make `changes` one after another; each is judged as of the moment after it."""
        images = self._held([change.image_id for change in changes])
        found = self._index.change_each(changes, self._count, self._radius, self._copy_distance)
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
            image_id: _Image(self._index.vector(image_id), each)
            for image_id, each in zip(image_ids, known, strict=True)
        }

    def _judge(
        self, change: Change, vector: NDArray[np.float32], near: Near, images: Mapping[str, _Image]
    ) -> Judged:
        others = {each.image_id: None for each in (*near.copies, *near.similar)}
        unchanged = self._held([image_id for image_id in others if image_id not in images])
        told = []
        for image_id in others:
            other = unchanged[image_id] if image_id in unchanged else images[image_id]
            duplicate = self._told(image_id, change.attributes, vector, other)
            if duplicate is not None:
                told.append((duplicate, other.known.group))
        told = sorted(told, key=lambda each: _order(each[0]))[: self._count]
        before = images.get(change.image_id, _Image(None, NOTHING_KNOWN))
        is_same = before.vector is not None and np.array_equal(before.vector, vector)
        group = before.known.group if is_same else None
        return Judged([each for each, _ in told], group or self._group(change.attributes, told))

    def _told(
        self, image_id: str, mine: Attributes, vector: NDArray[np.float32], other: _Image
    ) -> NearDuplicate | None:
        """What is said of an image that is near; None where copy vectors tell that it is no copy."""
        apart, limit = self._apart(mine, other.known), self._copy_distance
        is_none = apart is not None and limit is not None and apart > limit
        if is_none or other.vector is None:
            return None
        return NearDuplicate(
            image_id=image_id,
            distance=float(cosine_distances(other.vector[None], vector)[0]),
            decided_by="similar" if apart is None else "copy",
            copy_distance=apart,
        )

    def _apart(self, one: Attributes, other: Attributes) -> float | None:
        """The distance of their copy vectors; None where there is none to compare."""
        first, second = one.copy_vector, other.copy_vector
        if self._copy_distance is None or first is None or second is None or first.shape != second.shape:
            return None
        return float(cosine_distances(first[None], second)[0])

    def _group(self, mine: Attributes, duplicates: Sequence[tuple[NearDuplicate, str | None]]) -> str | None:
        """That of the nearest copy; of the nearest similar image where no copy vector could tell."""
        by_copy = self._copy_distance is not None and mine.copy_vector is not None
        wanted = "copy" if by_copy else "similar"
        groups = (group for each, group in duplicates if group is not None and each.decided_by == wanted)
        return next(groups, mine.group)


def _order(duplicate: NearDuplicate) -> tuple[bool, float, str]:
    """Copies before what is similar, each the nearest first."""
    if duplicate.copy_distance is not None:
        return False, duplicate.copy_distance, duplicate.image_id
    return True, duplicate.distance, duplicate.image_id
