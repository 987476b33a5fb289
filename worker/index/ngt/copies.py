"""The copy vectors of a segment, grouped into cells: which of its images are copies of a new one.

copies-1/
    space.json       of which space they are; empty: of none, since the bundle had none
    positions.npy    int32 [vectors]: whose copy vector each is, cell after cell
    centroids.npy, starts.npy    the cells

The vectors themselves lie among the attributes. There is no graph: what is asked is all within a radius, for
all records of a poll at once, never the k nearest. The number is the format's. A segment without such a
folder, of an earlier release, has its cells made when it is opened.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.index.attributes import COPY_VECTOR_FILE, is_known
from worker.index.ngt.cells import Cells, group

COPIES = "copies-1"
NO_SPACE = ""
_SPACE_FILE = "space.json"


@dataclass(frozen=True)
class CopyVectors:
    """`vectors` float32 [images, dim] by position, NaN where there is none; those at `positions` in cells.

    `space` is None where it is not known: an earlier release named none.
    """

    space: str | None
    vectors: NDArray[np.float32]
    positions: NDArray[np.int32]
    cells: Cells | None

    def within(
        self, queries: NDArray[np.float32], radius: float
    ) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
        """A query, and positions and distances of copy vectors within `radius` of it; see Cells."""
        if self.cells is None or self.vectors.shape[1] != queries.shape[1]:
            return

        def gathered(first: int, last: int) -> NDArray[np.float32]:
            return np.asarray(self.vectors[self.positions[first:last]])

        for query, places, distances in self.cells.within(gathered, queries, radius):
            yield query, self.positions[places], distances


def is_copy_file(path: str) -> bool:
    """Whether a segment's file, by its path inside, is there for copy vectors alone."""
    return path.startswith(f"{COPIES}/") or path == f"attributes/{COPY_VECTOR_FILE}"


def group_copies(space: str | None, vectors: NDArray[np.float32]) -> CopyVectors:
    """Cells of `vectors`, float32 [images, dim] with NaN where an image has none."""
    known = np.flatnonzero(is_known(vectors))
    if not len(known):
        return CopyVectors(space, vectors, known.astype(np.int32), None)
    cells, order = group(np.ascontiguousarray(vectors[known]))
    return CopyVectors(space, vectors, known[order].astype(np.int32), cells)


def write_copies(segment: Path, copies: CopyVectors) -> None:
    """Write space and cells into the segment in directory `segment`."""
    path = segment / COPIES
    path.mkdir()
    (path / _SPACE_FILE).write_text(json.dumps(copies.space), encoding="utf-8")
    if copies.cells is not None:
        np.save(path / "positions.npy", copies.positions)
        np.save(path / "centroids.npy", copies.cells.centroids)
        np.save(path / "starts.npy", copies.cells.starts)


def read_copies(segment: Path, vectors: NDArray[np.float32]) -> CopyVectors:
    """What `write_copies` wrote beside `vectors`; made anew where it wrote nothing.

    Raises:
        OSError, ValueError: it cannot be read, or is of other vectors.

    """
    path = segment / COPIES
    if not path.is_dir():
        return group_copies(None, vectors)
    space = json.loads((path / _SPACE_FILE).read_text(encoding="utf-8"))
    if not is_known(vectors).any():
        return group_copies(space, vectors)
    positions, centroids, starts = (
        np.load(path / f"{name}.npy") for name in ("positions", "centroids", "starts")
    )
    if not np.array_equal(np.sort(positions), np.flatnonzero(is_known(vectors))):
        raise ValueError(f"{path}: it is not of the copy vectors beside it")
    return CopyVectors(space, vectors, positions, Cells(centroids, starts))


def are_of(copies: Iterable[CopyVectors], space: str, dim: int) -> bool:
    """Whether these copy vectors can be compared with those of `space`.

    What names no space is taken for it where any of it has vectors of its dimension: an earlier release wrote
    them whenever the log had them.
    """
    held = list(copies)
    unnamed = [each for each in held if each.space is None]
    named = {each.space for each in held} - {None}
    return named <= {space} and (not unnamed or any(each.vectors.shape[1] == dim for each in unnamed))


def common_space(copies: Iterable[CopyVectors]) -> str | None:
    """The space of all these together: NO_SPACE where they are of several, None where none names one."""
    named = {each.space for each in copies} - {None}
    return NO_SPACE if len(named) > 1 else next(iter(named), None)
