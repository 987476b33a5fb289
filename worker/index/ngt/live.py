"""The index as searches see it: a generation, the tail being built into the next one, and the tail.

Newer parts hide what older ones say of the same image. A change is searchable when `upsert` or
`delete` returns.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from worker.index.backend import IndexIdentity, IndexSize
from worker.index.neighbour import Neighbour, nearest
from worker.index.ngt.generation import Generation
from worker.index.ngt.tail import Tail


@dataclass(frozen=True)
class Frozen:
    """A tail that changes no more, and the log position that it reaches to, for the next generation."""

    tail: Tail
    base: Generation | None
    offsets: dict[int, int]
    frozen_at: datetime


class LiveIndex:
    """Upserts and deletes from one thread, searches from any. `offsets` says which records are in.

    One lock guards the parts; it is held for a single change or a single search, never for a build.
    """

    def __init__(self, identity: IndexIdentity, generation: Generation | None) -> None:
        self.identity = identity
        self._lock = threading.Lock()
        self._start(generation)

    def _start(self, generation: Generation | None) -> None:
        self._generation = generation
        self._frozen: Frozen | None = None
        self._tail = Tail(self.identity.dim)
        self._vectors = 0 if generation is None else len(generation)
        self._offsets = {} if generation is None else dict(generation.manifest.offsets)
        # Until the log has been read to its end, the index is no newer than what it started from.
        self._as_of: datetime | None = (
            datetime.now(UTC) if generation is None else generation.manifest.created_at
        )

    def clear(self) -> None:
        """Forget everything: the index is filled from the log again."""
        with self._lock:
            self._start(None)

    @property
    def generation(self) -> Generation | None:
        """The generation in use."""
        return self._generation

    def offsets(self) -> dict[int, int]:
        """Partition -> offset of the next record; all records before it are in the index."""
        with self._lock:
            return dict(self._offsets)

    def size(self) -> IndexSize:
        """Searchable images and tail length at this moment."""
        with self._lock:
            frozen = 0 if self._frozen is None else len(self._frozen.tail)
            return IndexSize(self._vectors, frozen + len(self._tail))

    def upsert(self, image_id: str, vector: NDArray[np.float32]) -> None:
        """Make `image_id` searchable by `vector`, float32 [dim] of unit norm, and by no earlier one."""
        with self._lock:
            self._vectors += not self._holds(image_id)
            self._tail.upsert(image_id, vector)

    def delete(self, image_id: str) -> None:
        """Make `image_id` unsearchable; an unknown id changes nothing."""
        with self._lock:
            self._vectors -= self._holds(image_id)
            self._tail.delete(image_id, held_below=self._holds_below(image_id))

    def advance(self, partition: int, offset: int) -> None:
        """All records of `partition` before `offset` are in."""
        with self._lock:
            self._offsets[partition] = offset

    def catch_up(self) -> None:
        """The log was read to its end: from now on, what is frozen is as new as the clock."""
        with self._lock:
            self._as_of = None

    def search(self, query: NDArray[np.float32], count: int, radius: float | None = None) -> list[Neighbour]:
        """The `count` nearest images to `query` (float32 [dim], unit norm), nearest first.

        None is farther than `radius`, a cosine distance. Exact over the tail, approximate over the
        generation.
        """
        with self._lock:
            found = self._tail.search(query, count, ())
            if self._frozen is not None:
                found += self._frozen.tail.search(query, count, self._tail)
            if self._generation is not None:
                hidden = _Hidden(self._tail, None if self._frozen is None else self._frozen.tail)
                found += self._generation.search(query, count, hidden, len(hidden))
        limit = np.inf if radius is None else radius
        return nearest((neighbour for neighbour in found if neighbour.distance <= limit), count)

    def neighbours_of(
        self, image_id: str, vector: NDArray[np.float32], count: int, radius: float | None = None
    ) -> list[Neighbour]:
        """As `search` by `vector`, without `image_id` itself."""
        found = self.search(vector, count + 1, radius)
        return [neighbour for neighbour in found if neighbour.image_id != image_id][:count]

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """The vector that `image_id` is found by, float32 [dim] of unit norm; None if it is not there."""
        with self._lock:
            for tail in self._tails():
                if image_id in tail:
                    return tail.vector(image_id)
            return None if self._generation is None else self._generation.vector(image_id)

    def freeze(self) -> Frozen:
        """Set the changes so far aside for a build; until `swap`, the same ones again."""
        with self._lock:
            if self._frozen is None:
                self._frozen = Frozen(
                    self._tail, self._generation, dict(self._offsets), self._as_of or datetime.now(UTC)
                )
                self._tail = Tail(self.identity.dim)
            return self._frozen

    def swap(self, generation: Generation) -> None:
        """Search in `generation`, which was built from what `freeze` gave, in place of its parts."""
        with self._lock:
            self._generation = generation
            self._frozen = None

    def _tails(self) -> list[Tail]:
        """Newest first."""
        return [self._tail] if self._frozen is None else [self._tail, self._frozen.tail]

    def _holds(self, image_id: str) -> bool:
        if image_id in self._tail:
            return image_id not in self._tail.deleted
        return self._holds_below(image_id)

    def _holds_below(self, image_id: str) -> bool:
        if self._frozen is not None and image_id in self._frozen.tail:
            return image_id not in self._frozen.tail.deleted
        return self._generation is not None and image_id in self._generation


class _Hidden:
    """Ids that a generation must not answer for, since one of the tails knows of them."""

    def __init__(self, newest: Tail, frozen: Tail | None) -> None:
        self._newest = newest
        self._frozen = frozen

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._newest or (self._frozen is not None and image_id in self._frozen)

    def __len__(self) -> int:
        """At most this many; an id that both know counts twice."""
        return len(self._newest) + (0 if self._frozen is None else len(self._frozen))
