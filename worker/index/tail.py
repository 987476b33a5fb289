"""The changes that are in no segment yet: new vectors, searched exactly."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter
from worker.index.attributes import (
    NOTHING_KNOWN,
    AttributeColumns,
    Attributes,
    GrowingAttributes,
    is_known,
)
from worker.index.candidates import NEVER, Limits, Part, compared
from worker.index.neighbour import Neighbour, ascending, products

_FIRST_CAPACITY = 256

Kind = Literal["embedding", "copy"]
EMBEDDING: Kind = "embedding"
COPY: Kind = "copy"


class Tail:
    """Vectors of unit norm in a matrix that only grows, and when each of them ceased to count.

    One thread changes it. Others read the first `length` rows of it as of a change, without a lock: rows are
    never written again, and `died` says from which change on a row counts no more.
    """

    def __init__(self, dim: int) -> None:
        self._matrix = np.empty((_FIRST_CAPACITY, dim), np.float32)
        self.ids: list[str] = []  # by row
        self.positions: dict[str, int] = {}  # the newest row of each id
        self.died: dict[int, int] = {}  # row -> number of the change
        self._attributes = GrowingAttributes()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> dict[Kind, int]:
        """What its vectors take."""
        return {EMBEDDING: self._matrix.nbytes, COPY: self._attributes.copy_bytes}

    def append(
        self, image_id: str, vector: NDArray[np.float32], attributes: Attributes = NOTHING_KNOWN
    ) -> None:
        """Hold `vector` (float32 [dim], unit norm) and `attributes` for `image_id`."""
        row = len(self.ids)
        if row == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
        self._matrix[row] = vector
        self._attributes.append(attributes)
        self.positions[image_id] = row
        self.ids.append(image_id)

    def vectors(self, length: int) -> NDArray[np.float32]:
        """A view of the first `length` vectors, float32 [length, dim]."""
        view: NDArray[np.float32] = self._matrix[:length]
        return view

    def vector(self, row: int) -> NDArray[np.float32]:
        """A copy of the vector in `row`, float32 [dim]."""
        vector: NDArray[np.float32] = self._matrix[row].copy()
        return vector

    def attributes(self, row: int) -> Attributes:
        """What is known of the image in `row`."""
        return self._attributes.columns(row + 1).row(row)

    def attributes_of(self, rows: Sequence[int]) -> tuple[AttributeColumns, NDArray[np.int64]]:
        """Columns that hold the attributes of `rows`, and where in them."""
        return self._attributes.columns(len(self)), np.asarray(rows, np.int64)

    def vectors_of(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors in `rows`, float32 [len(rows), dim]."""
        found: NDArray[np.float32] = self._matrix[np.asarray(rows, np.int64)]
        return found

    def living(self, length: int, change: int) -> list[int]:
        """Those of the first `length` rows that count as of `change`."""
        died = self.died
        return [row for row in range(length) if died.get(row, NEVER) > change]

    def look(
        self,
        queries: NDArray[np.float32],
        count: int,
        length: int,
        change: int,
        limits: Limits,
        where: SearchFilter | None = None,
    ) -> Part:
        """What the first `length` rows have within `limits`, or the `count` nearest to each of `queries`.

        They are float32 [n, dim] of unit norm. As of `change`, of rows that `where` lets in. Exact: every
        vector is compared.
        """
        distances, rows = 1.0 - products(queries, self.vectors(length)), np.arange(length)
        if where is not None:
            rows = np.flatnonzero(self._attributes.columns(length).matching(where))
            distances = distances[:, rows]
        found = compared(distances, rows, count, limits, partial(self._counting, change))
        return Part(found, self.vectors_of, lambda row, _: (self.ids[row],))

    def _counting(self, change: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` count as of `change`."""
        listed = rows.tolist()
        if self.died.keys().isdisjoint(listed):
            return np.ones(len(listed), np.bool_)
        return np.array([self.died.get(row, NEVER) > change for row in listed])

    def within(
        self,
        queries: NDArray[np.float32],
        radius: float,
        lengths: Sequence[int],
        changes: Sequence[int],
        held: NDArray[np.bool_] | None = None,
        count: int = NEVER,
    ) -> list[list[Neighbour]]:
        """For each query the `count` nearest within `radius`, of the first rows as of its length and change.

        `queries` are float32 [n, dim]; one matrix product compares them all. Of rows that are `held`.
        """
        vectors = self.vectors(max(lengths, default=0))
        return self._within(vectors, queries, radius, lengths, changes, held, count)

    def copies_within(
        self,
        queries: NDArray[np.float32],
        radius: float,
        lengths: Sequence[int],
        changes: Sequence[int],
        count: int = NEVER,
    ) -> list[list[Neighbour]]:
        """As `within`, by copy vectors: `queries` are such, float32 [n, any dimension], of unit norm."""
        copies = self._attributes.columns(max(lengths, default=0)).copy_vectors
        if copies.shape[1] != queries.shape[1]:
            return [[] for _ in lengths]
        return self._within(copies, queries, radius, lengths, changes, None, count)

    def lacks_copy_vector(self, length: int) -> NDArray[np.bool_]:
        """Which of the first `length` rows have none, bool [length]."""
        return ~is_known(self._attributes.columns(length).copy_vectors)

    def _within(
        self,
        vectors: NDArray[np.float32],
        queries: NDArray[np.float32],
        radius: float,
        lengths: Sequence[int],
        changes: Sequence[int],
        held: NDArray[np.bool_] | None,
        count: int,
    ) -> list[list[Neighbour]]:
        """Those of `vectors` (float32 [rows, dim], NaN where there is none) that are near; as `within`."""
        found: list[list[Neighbour]] = [[] for _ in lengths]
        if not len(vectors):
            return found
        distances = 1.0 - products(queries, vectors)
        near = distances <= radius
        if held is not None:
            near &= held
        near &= np.arange(len(vectors)) < np.asarray(lengths)[:, None]
        for query in np.flatnonzero(near.any(axis=1)).tolist():
            rows = np.flatnonzero(near[query])
            apart = np.maximum(distances[query, rows], 0.0)
            living = (
                Neighbour(self.ids[rows[place]], float(apart[place]))
                for place in ascending(apart, count)
                if self.died.get(int(rows[place]), NEVER) > changes[query]
            )
            found[query] += islice(living, min(count, len(rows)))
        return found
