"""The changes since a generation: new vectors, searched exactly, and ids that are gone."""

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from worker.index.neighbour import Neighbour, nearest

_FIRST_CAPACITY = 256


class Tail:
    """Vectors of unit norm in a matrix that doubles as it fills, and the ids deleted below it.

    Not thread-safe: LiveIndex guards it. Every id that the tail knows of hides the same id in
    everything older.
    """

    def __init__(self, dim: int) -> None:
        self._matrix = np.empty((_FIRST_CAPACITY, dim), np.float32)
        self._ids: list[str] = []  # by row
        self._rows: dict[str, int] = {}
        self._deleted: set[str] = set()

    def __len__(self) -> int:
        """The number of changes: vectors and deletions."""
        return len(self._ids) + len(self._deleted)

    def __contains__(self, image_id: object) -> bool:
        """Whether older parts must not answer for `image_id`: it is newer here, or deleted."""
        return image_id in self._rows or image_id in self._deleted

    @property
    def ids(self) -> list[str]:
        """Ids of the vectors, in the order of `vectors`."""
        return self._ids

    @property
    def vectors(self) -> NDArray[np.float32]:
        """A view of the vectors, float32 [len(ids), dim]."""
        return self._matrix[: len(self._ids)]

    @property
    def deleted(self) -> set[str]:
        """Ids that older parts hold and that are gone."""
        return self._deleted

    def upsert(self, image_id: str, vector: NDArray[np.float32]) -> None:
        """Hold `vector` (float32 [dim], unit norm) for `image_id`, in place of an earlier one."""
        self._deleted.discard(image_id)
        row = self._rows.get(image_id)
        if row is None:
            row = len(self._ids)
            if row == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
            self._ids.append(image_id)
            self._rows[image_id] = row
        self._matrix[row] = vector

    def delete(self, image_id: str, *, held_below: bool) -> None:
        """Forget `image_id`; `held_below` says that an older part holds it, which must be hidden."""
        row = self._rows.pop(image_id, None)
        if row is not None:
            last = self._ids.pop()
            if last != image_id:  # the last row moves into the gap
                self._ids[row] = last
                self._rows[last] = row
                self._matrix[row] = self._matrix[len(self._ids)]
        if held_below:
            self._deleted.add(image_id)

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """A copy of the vector of `image_id`, float32 [dim], or None."""
        row = self._rows.get(image_id)
        return None if row is None else self._matrix[row].copy()

    def search(self, query: NDArray[np.float32], count: int, hidden: Container[str]) -> list[Neighbour]:
        """The `count` nearest vectors to `query` (float32 [dim], unit norm) whose id is not `hidden`.

        Exact: every vector is compared.
        """
        if not self._ids:
            return []
        # Cosine distance of unit vectors; rounding may leave it a hair out of its range.
        distances = np.clip(1.0 - self.vectors @ query, 0.0, 2.0)
        asked = count
        while True:
            rows = _smallest(distances, asked)
            seen = (Neighbour(self._ids[row], float(distances[row])) for row in rows)
            found = [neighbour for neighbour in seen if neighbour.image_id not in hidden]
            if len(found) >= count or len(rows) == len(distances):
                return nearest(found, count)
            asked *= 4


def _smallest(distances: NDArray[np.float32], count: int) -> list[int]:
    if count >= len(distances):
        return list(range(len(distances)))
    rows: list[int] = np.argpartition(distances, count - 1)[:count].tolist()
    return rows
