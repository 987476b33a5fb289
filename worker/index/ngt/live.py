"""The index as searches see it: segments, the tail being built into the next one, and the tail.

An image counts in one part alone: a change appends to the tail and says in the part that had the image
before from which change on it counts no more. Searches take a view, which names the parts and the last
change that they see, in one step and hold no lock: all that they read is of that moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter
from worker.index.attributes import NOTHING_KNOWN, AttributeColumns, Attributes, together
from worker.index.backend import Change, IndexIdentity, IndexSize, Near
from worker.index.candidates import NEVER, Part, limits_among, nearest_among
from worker.index.neighbour import Neighbour
from worker.index.ngt.directory import Generation
from worker.index.ngt.generation import GenerationManifest
from worker.index.ngt.near import Asked, near
from worker.index.ngt.segment import Segment
from worker.index.ngt.view import View
from worker.index.tail import Tail


@dataclass(frozen=True)
class Batch:
    """What is to stand in one segment: positions of parts, all that counted in them as of `change`."""

    parts: tuple[tuple[Tail | Segment, list[int]], ...]
    change: int

    def ids(self) -> list[str]:
        """The image ids, all different."""
        return [part.ids[position] for part, positions in self.parts for position in positions]

    def vectors(self) -> NDArray[np.float32]:
        """Their vectors, float32 [len(ids), dim]."""
        return np.concatenate([part.vectors_of(positions) for part, positions in self.parts])

    def attributes(self) -> AttributeColumns:
        """Their attributes."""
        return together([part.attributes_of(positions) for part, positions in self.parts])


@dataclass(frozen=True)
class Frozen:
    """A tail that gets no more vectors, and the log position that it reaches to, for the next generation."""

    tail: Tail
    batch: Batch
    offsets: dict[int, int]
    frozen_at: datetime
    changes: int


class LiveIndex:
    """Upserts and deletes from one thread, searches from any. `offsets` says which records are in."""

    def __init__(self, identity: IndexIdentity, generation: Generation | None) -> None:
        self.identity = identity
        self._start(generation)

    def _start(self, generation: Generation | None) -> None:
        self._manifest = None if generation is None else generation.manifest
        self._published = 0  # the change that the generation holds all before of
        self._frozen: Frozen | None = None
        self._tail = Tail(self.identity.dim)
        self._changes = 0  # in the tail: vectors, and deletions of what is below
        segments = () if generation is None else generation.segments
        self._vectors = sum(segment.living for segment in segments)
        self._offsets = {} if generation is None else dict(generation.manifest.offsets)
        # Until the log has been read to its end, the index is no newer than what it started from.
        self._as_of: datetime | None = (
            datetime.now(UTC) if generation is None else generation.manifest.created_at
        )
        self._view = View(0, segments, ((self._tail, 0),))

    def clear(self) -> None:
        """Forget everything: the index is filled from the log again."""
        self._start(None)

    @property
    def manifest(self) -> GenerationManifest | None:
        """Of the generation that a restart would go on from."""
        return self._manifest

    @property
    def view(self) -> View:
        """What there is at this moment."""
        return self._view

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments in use, the oldest first."""
        return self._view.segments

    @property
    def tail_rows(self) -> int:
        """Rows of the tail, those that count no more among them."""
        return len(self._tail)

    def offsets(self) -> dict[int, int]:
        """Partition -> offset of the next record; all records before it are in the index."""
        return dict(self._offsets)

    def size(self) -> IndexSize:
        """Searchable images and tail length at this moment."""
        frozen = self._frozen
        return IndexSize(self._vectors, self._changes + (0 if frozen is None else frozen.changes))

    def upsert(
        self, image_id: str, vector: NDArray[np.float32], attributes: Attributes = NOTHING_KNOWN
    ) -> None:
        """Make `image_id` searchable by `vector`, float32 [dim] of unit norm, and by no earlier one."""
        change = self._view.change + 1
        held = self._holder(image_id)
        self._tail.append(image_id, vector, attributes)
        if held is None:
            self._vectors += 1
            self._changes += 1
        else:
            part, position = held
            part.died[position] = change
            self._changes += part is not self._tail
        self._show(change)

    def delete(self, image_id: str) -> None:
        """Make `image_id` unsearchable; an unknown id changes nothing."""
        held = self._holder(image_id)
        if held is None:
            return
        part, position = held
        change = self._view.change + 1
        part.died[position] = change
        self._vectors -= 1
        self._changes += -1 if part is self._tail else 1
        self._show(change)

    def change_each(
        self, changes: Sequence[Change], count: int, radius: float, copy_radius: float | None = None
    ) -> list[Near]:
        """See IndexBackend: the changes one after another, the look-ups of all of them side by side."""
        asked: dict[int, Asked] = {}
        for number, (image_id, vector, attributes) in enumerate(changes):
            if vector is None:
                self.delete(image_id)
            else:
                self.upsert(image_id, vector, attributes)
                asked[number] = Asked(vector, attributes.copy_vector, self._view)
        found = [Near([], []) for _ in changes]
        # one more: the image itself is among what is near to it
        judged = near([*asked.values()], radius, copy_radius, count + 1)
        for number, each in zip(asked, judged, strict=True):
            found[number] = each.nearest(count, but=changes[number].image_id)
        return found

    def advance(self, partition: int, offset: int) -> None:
        """All records of `partition` before `offset` are in."""
        self._offsets = {**self._offsets, partition: offset}

    def catch_up(self) -> None:
        """The log was read to its end: from now on, what is frozen is as new as the clock."""
        self._as_of = None

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        radius: float | None = None,
        where: SearchFilter | None = None,
        view: View | None = None,
    ) -> list[Neighbour]:
        """The `count` nearest to `query` (float32 [dim], unit norm), nearest first.

        None is farther than `radius`, a cosine distance; of those alone that `where` lets in. Exact over the
        tail, approximate over segments. Of what there was in `view`, where one is given.
        """
        (found,) = self.search_each(query[None], count, view or self._view, where)
        return _within(radius, found)

    def search_each(
        self,
        queries: NDArray[np.float32],
        count: int,
        view: View,
        where: SearchFilter | None = None,
        *,
        exactly: bool = False,
    ) -> list[list[Neighbour]]:
        """As `search` of `view`, of each of `queries` (float32 [n, dim], unit norm), side by side.

        `exactly`: with every vector compared.
        """
        change = view.change
        parts: list[Part] = []
        limits = partial(limits_among, parts, len(queries), count)  # of the parts so far
        for segment in reversed(view.segments):  # of the newest the most counts
            part = segment.look(queries, count, change, where, limits, exactly=exactly)
            parts.append(part)
        reach = limits()
        parts += [tail.look(queries, count, length, change, reach, where) for tail, length in view.tails]
        return nearest_among(parts, queries, count)

    def search_exactly(
        self,
        view: View,
        query: NDArray[np.float32],
        count: int,
        radius: float | None = None,
        where: SearchFilter | None = None,
    ) -> list[Neighbour]:
        """As `search` of `view`, with every vector compared."""
        (found,) = self.search_each(query[None], count, view, where, exactly=True)
        return _within(radius, found)

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """The vector that `image_id` is found by, float32 [dim] of unit norm; None if it is not there."""
        seen = self._seen(self._view, image_id)
        return None if seen is None else seen[0].vector(seen[1])

    def attributes_of(self, image_ids: Sequence[str]) -> list[Attributes]:
        """What is known of each image; nothing of one that is not there."""
        view = self._view
        seen = (self._seen(view, image_id) for image_id in image_ids)
        return [NOTHING_KNOWN if each is None else each[0].attributes(each[1]) for each in seen]

    def freeze(self) -> Frozen:
        """Set the changes so far aside for a build; until `swap`, the same ones again."""
        if self._frozen is None:
            change = self._view.change
            living = self._tail.living(len(self._tail), change)
            self._frozen = Frozen(
                self._tail,
                Batch(((self._tail, living),), change),
                dict(self._offsets),
                self._as_of or datetime.now(UTC),
                self._changes,
            )
            self._tail = Tail(self.identity.dim)
            self._changes = 0
            self._show(change)
        return self._frozen

    def swap(self, segment: Segment | None, manifest: GenerationManifest) -> None:
        """Search in `segment` in place of what `freeze` gave; `manifest` was published with it."""
        assert self._frozen is not None
        frozen, self._frozen = self._frozen, None
        if segment is not None:
            carry_deaths(frozen.batch, segment)
        self._manifest = manifest
        self._published = frozen.batch.change
        segments = self._view.segments
        self._show(self._view.change, segments if segment is None else (*segments, segment))

    def batch_of(self, segments: Sequence[Segment]) -> Batch:
        """What the generation holds of `segments`, to be merged."""
        change = self._published
        parts: list[tuple[Tail | Segment, list[int]]] = []
        for segment in segments:
            dead = set(segment.dead(change))
            parts.append((segment, [p for p in range(len(segment.ids)) if p not in dead]))
        return Batch(tuple(parts), change)

    def merged(self, batch: Batch, segment: Segment | None) -> tuple[Segment, ...]:
        """The segments there would be with `segment`, built from `batch`, in the place of batch's parts."""
        gone = {id(part) for part, _ in batch.parts}
        kept = [each for each in self._view.segments if id(each) not in gone]
        if segment is None:
            return tuple(kept)
        carry_deaths(batch, segment)
        return (segment, *kept)

    def replace(self, segments: tuple[Segment, ...], manifest: GenerationManifest) -> None:
        """Search in `segments`, which `merged` gave; `manifest` was published with them."""
        self._manifest = manifest
        self._show(self._view.change, segments)

    @property
    def published(self) -> int:
        """The number of the last change that the generation holds."""
        return self._published

    def _show(self, change: int, segments: tuple[Segment, ...] | None = None) -> None:
        """From here on searches see `change` and all before it."""
        tails: tuple[tuple[Tail, int], ...] = ((self._tail, len(self._tail)),)
        if self._frozen is not None:
            tails = (*tails, (self._frozen.tail, len(self._frozen.tail)))
        self._view = View(change, self._view.segments if segments is None else segments, tails)

    @staticmethod
    def _seen(view: View, image_id: str) -> tuple[Tail | Segment, int] | None:
        """The part and position in which `image_id` counts as of `view`."""
        for tail, length in view.tails:
            row = tail.positions.get(image_id)
            # A row beyond the view replaced what the view sees: it is as good, being newer.
            if row is not None and (row >= length or tail.died.get(row, NEVER) > view.change):
                return tail, row
        for segment in view.segments:
            position = segment.positions.get(image_id)
            if position is not None and segment.died.get(position, NEVER) > view.change:
                return segment, position
        return None

    def _holder(self, image_id: str) -> tuple[Tail | Segment, int] | None:
        """The part and position in which `image_id` counts now."""
        parts: list[Tail | Segment] = [tail for tail, _ in self._view.tails]
        for part in (*parts, *self._view.segments):
            position = part.positions.get(image_id)
            if position is not None and position not in part.died:
                return part, position
        return None


def carry_deaths(batch: Batch, segment: Segment) -> None:
    """Say in `segment`, built from `batch`, what ceased to count in its parts meanwhile."""
    for part, _ in batch.parts:
        for position, change in part.died.items():
            if change > batch.change:
                segment.died[segment.positions[part.ids[position]]] = change


def _within(radius: float | None, found: list[Neighbour]) -> list[Neighbour]:
    """Those that are no farther than `radius`; without one all."""
    return found if radius is None else [near for near in found if near.distance <= radius]
