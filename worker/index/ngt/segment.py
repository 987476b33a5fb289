"""A segment: vectors that are never changed again, searched by NGT's graph and by cells.

    segment-00000007/
        manifest.json    SegmentManifest, with the digest of every other file
        ids.json         image ids; those of equal vectors stand together, in order
        members.npy      int64 [vectors + 1]: the ids of vector i are members[i] to members[i + 1]
        vectors.npy      float32 [vectors, dim], distinct, cell after cell
        centroids.npy, starts.npy    the cells
        objects.npy      int32 [vectors]: NGT's object id of each vector
        attributes/      what searches filter and order by, by position; those of earlier releases have none
        copies-1/        the copy vectors among the attributes, by cells: see copies.py
        ngt/             NGT's own files; small segments have none, and are compared whole

NGT loads a truncated graph file without an error and then returns wrong neighbours: hence digests. Equal
vectors would sink its graph (of 3,000 copies it finds 41): hence one object for all of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.search import SearchFilter
from worker.errors import IndexDirectoryError
from worker.index.attributes import AttributeColumns, Attributes, is_known, nothing_known, read_columns
from worker.index.backend import IndexIdentity
from worker.index.candidates import NEVER, Candidates, Limits, Part, compared, joined
from worker.index.neighbour import Neighbour, ascending, products
from worker.index.ngt.binding import ngtpy
from worker.index.ngt.cells import Cells
from worker.index.ngt.checksums import Damaged, FileDigest, check_files, digest_of
from worker.index.ngt.copies import is_copy_file, read_copies
from worker.index.tail import COPY, EMBEDDING

MANIFEST_FILE = "manifest.json"
IDS_FILE = "ids.json"
NGT_FILES = "ngt"
ATTRIBUTES = "attributes"

# NGT prunes by the triangle inequality, which cosine distance does not obey. On unit vectors L2 does,
# with the same order (L2^2 = 2 * cosine distance): recall@10 of 1.00 where "Cosine" stays at 0.93.
DISTANCE_TYPE = "L2"
# How far beyond the k-th distance the graph's search goes on, as a share of it, until it is measured. Wide:
# queries unlike what is stored, which images of the segment are not, find 0.95 with 0.1 and 0.99 with 0.2.
_FIRST_EPSILON = 0.2
# NGT takes the number asked for as the breadth of its search: few would miss what is near.
_BREADTH = 20
_WIDER = 4  # times as many, each time that it found too few
_HEADROOM = 8  # asked for beyond that share where some count no more; more only if it was too few

# What the graph's search costs for each result that it is asked for, in vectors compared one by one: of
# 50,000 with 128 dimensions comparing 5,026 took 1.9 ms of CPU and the graph 2.6, 14,948 4.5 and 3.0.
_GRAPH_COST = 100
# Of so many results in all a filter lets only some in: asked for beyond those.
_FILTER_HEADROOM = 2
# Vectors gathered at once: more would be copied through fresh memory each time.
_CHUNK = 1024
_AT_ONCE = 1 << 20  # distances that are held
# A graph that is asked for more than this share of its vectors costs more than comparing all.
_WIDEST = 1 / 8

_IDS: TypeAdapter[list[str]] = TypeAdapter(list[str])


class SegmentManifest(BaseModel):
    """`manifest.json` of a segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    identity: IndexIdentity
    images: Annotated[int, Field(gt=0)]
    vectors: Annotated[int, Field(gt=0, description="distinct ones")]
    graph: Annotated[bool, Field(description="whether there are NGT's files")]
    files: list[FileDigest]


class Segment:
    """An open segment. Searches may come from any thread; one thread says in `died` what counts no more.

    A position is the place of an image's id in `ids`; a row is the place of its vector.
    """

    def __init__(self, path: Path, manifest: SegmentManifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        self.ids = read_ids(path)
        self.positions = {image_id: position for position, image_id in enumerate(self.ids)}
        self.died: dict[int, int] = {}  # position -> number of the change
        members = load_array(path, "members")
        self._members: list[int] = members.tolist()
        self._rows = np.repeat(np.arange(len(members) - 1), np.diff(members))
        # not as numpy's memmap, each slice of which costs far more
        self._vectors: NDArray[np.float32] = np.asarray(np.load(path / "vectors.npy", mmap_mode="r"))
        self._cells = Cells(load_array(path, "centroids"), load_array(path, "starts"))
        objects = load_array(path, "objects")
        self._row_of_object = np.zeros(int(objects.max()) + 1, np.int64)
        self._row_of_object[objects] = np.arange(len(objects))
        self._ngt = open_ngt(path) if manifest.graph else None
        self.epsilon = _FIRST_EPSILON
        self.has_attributes = (path / ATTRIBUTES).is_dir()
        self._attributes = (
            read_columns(path / ATTRIBUTES) if self.has_attributes else nothing_known(len(self.ids))
        )
        self.copies = read_copies(path, self._attributes.copy_vectors)
        of_copies = sum(file.bytes for file in manifest.files if is_copy_file(file.path))
        self.bytes = {EMBEDDING: sum(file.bytes for file in manifest.files) - of_copies, COPY: of_copies}
        self.lacks_copy_vector = ~is_known(self._attributes.copy_vectors)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def name(self) -> str:
        """Such as `segment-00000007`."""
        return self.path.name

    @property
    def living(self) -> int:
        """How many of its images count."""
        return len(self.ids) - len(self.died)

    def vector(self, position: int) -> NDArray[np.float32]:
        """The vector of the image at `position`, float32 [dim] of unit norm."""
        return np.array(self._vectors[self._rows[position]])

    def vectors_of(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """The vectors of the images at `positions`, float32 [len(positions), dim]."""
        return np.array(self._vectors[self._rows[np.asarray(positions, np.int64)]])

    def attributes_of(self, positions: Sequence[int]) -> tuple[AttributeColumns, NDArray[np.int64]]:
        """Columns that hold the attributes of the images at `positions`, and where in them."""
        return self._attributes, np.asarray(positions, np.int64)

    def attributes(self, position: int) -> Attributes:
        """What is known of the image at `position`."""
        return self._attributes.row(position)

    def dead(self, change: int) -> list[int]:
        """Positions that count no more as of `change`, in order."""
        return sorted(position for position, then in list(self.died.items()) if then <= change)

    def look(
        self,
        queries: NDArray[np.float32],
        count: int,
        change: int,
        where: SearchFilter | None = None,
        limits: Callable[[], Limits] | None = None,
        *,
        exactly: bool = False,
    ) -> Part:
        """About the `count` nearest to each of `queries` (float32 [n, dim], unit norm) as of `change`.

        NGT's approximate graph search (Iwasaki and Miyazaki, 2018), and every vector of the query's own
        cell, so that a stored vector always finds itself. Exact where that is asked for, and among the images
        that `where` lets in while they are so few that comparing each costs less. What is farther than a
        query's own of `limits`, which is called where there are too few, is not looked for.
        """
        held = None if where is None else self._attributes.matching(where)
        rows = None if held is None else np.unique(self._rows[np.flatnonzero(held)])
        wanted = _Wanted(count, rows, partial(self._counting, change=change, held=held), limits)
        found = self._compared(queries, wanted) if exactly else self._approximately(queries, wanted)
        return Part(found, self._vectors.__getitem__, partial(self._images, change=change, held=held))

    def farthest_of(self, queries: NDArray[np.float32], count: int) -> NDArray[np.float64]:
        """How far the `count`-th nearest vector of each query is, exactly: float64 [queries]."""
        parts = range(0, len(self._vectors), _CHUNK)
        nearest = np.empty((len(queries), 0), np.float32)
        for first in parts:
            distances = 1.0 - queries @ self._vectors[first : first + _CHUNK].T
            nearest = np.sort(np.concatenate([nearest, distances], axis=1), axis=1)[:, :count]
        return nearest[:, -1].astype(np.float64)

    def near_by_graph(self, query: NDArray[np.float32], count: int, epsilon: float) -> NDArray[np.float64]:
        """Distances of the `count` nearest vectors that a search with `epsilon` finds, in order."""
        found = self._by_graph(query[None], max(count, _BREADTH), epsilon)
        return np.sort(found.distances)[:count]

    def _approximately(self, queries: NDArray[np.float32], wanted: "_Wanted") -> Candidates:
        """By the graph, or of what a filter lets in by comparing where that costs less."""
        total, matching = self.manifest.vectors, wanted.rows
        if matching is None:
            share = len(self) / max(1, self.living)  # of all to those that count
            size = int(wanted.count * share) + min(len(self.died), _HEADROOM)
        elif costs_less_by_graph(len(matching), total, wanted.count):
            size = _FILTER_HEADROOM * wanted.count * total // len(matching)
        else:
            return self._compared(queries, wanted)
        return self._asked(queries, wanted, max(size, _BREADTH))

    def _asked(self, queries: NDArray[np.float32], wanted: "_Wanted", size: int) -> Candidates:
        """What the graph has, asked for `size` or more; by comparing where that costs less."""
        if self._ngt is None or size > _WIDEST * self.manifest.vectors:
            return self._compared(queries, wanted)
        asked = self._by_graph(queries, size, self.epsilon)
        found = asked.only(wanted.counting(asked.rows))
        few = np.flatnonzero(found.counts(len(queries)) < wanted.count)
        if len(few):
            few, wanted = wanted.within_limits(few, asked.limits(len(queries), size))
        if not len(few):
            return found
        wider = self._asked(queries[few], wanted, _WIDER * size)
        enough = found.only(~np.isin(found.whose, few))
        return joined([enough, wider._replace(whose=few[wider.whose])])

    def _compared(self, queries: NDArray[np.float32], wanted: "_Wanted") -> Candidates:
        """Every vector that is wanted, compared."""
        rows = np.arange(self.manifest.vectors) if wanted.rows is None else wanted.rows
        limits = np.full(len(queries), np.inf, np.float32)
        step = max(1, _AT_ONCE // max(1, len(rows)))
        found = []
        for first in range(0, len(queries), step):
            few = slice(first, first + step)
            distances = self._distances(queries[few], wanted.rows)
            some = compared(distances, rows, wanted.count, limits[few], wanted.counting)
            found.append(some._replace(whose=some.whose + first))
        return joined(found)

    def _distances(self, queries: NDArray[np.float32], rows: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Distances to the vectors of `rows`, or all; right but for rounding: float32 [queries, rows]."""
        if rows is None:
            return 1.0 - products(queries, self._vectors)
        parts = [rows[first : first + _CHUNK] for first in range(0, max(1, len(rows)), _CHUNK)]
        found = np.concatenate([products(queries, self._vectors[part]) for part in parts], axis=1)
        return np.float32(1.0) - found

    def within(
        self,
        queries: NDArray[np.float32],
        radius: float,
        changes: Sequence[int],
        held: NDArray[np.bool_] | None = None,
        count: int = NEVER,
    ) -> list[list[Neighbour]]:
        """For each query (float32 [n, dim], unit norm) the images within cosine distance `radius` of it.

        As of its own change; of positions that are `held`; the `count` nearest at least. Exact as
        `Cells.within` is.
        """
        found: list[list[Neighbour]] = [[] for _ in changes]
        for query, rows, distances in self._cells.within(self._from_to, queries, radius):
            images: list[Neighbour] = []
            for place in ascending(distances, count):
                left = count - len(images)
                near = self._images(int(rows[place]), left, changes[query], held)
                images += [Neighbour(image_id, float(distances[place])) for image_id in near]
                if len(images) >= count:
                    break
            found[query] += images
        return found

    def copies_within(
        self, queries: NDArray[np.float32], radius: float, changes: Sequence[int], count: int = NEVER
    ) -> list[list[Neighbour]]:
        """As `within`, by copy vectors: `queries` are such, float32 [n, any dimension], of unit norm."""
        found: list[list[Neighbour]] = [[] for _ in changes]
        for query, positions, distances in self.copies.within(queries, radius):
            living = (
                Neighbour(self.ids[positions[place]], float(distances[place]))
                for place in ascending(distances, count)
                if self.died.get(int(positions[place]), NEVER) > changes[query]
            )
            found[query] += islice(living, min(count, len(positions)))
        return found

    def _from_to(self, first: int, last: int) -> NDArray[np.float32]:
        """The vectors of these rows, float32 [last - first, dim]."""
        vectors: NDArray[np.float32] = self._vectors[first:last]
        return vectors

    def warm_up(self) -> None:
        """Search once, alone: first searches of several threads at once can deadlock (NGT issue 174)."""
        self.look(self.vector(0)[None], 1, 0)

    def _by_graph(self, queries: NDArray[np.float32], size: int, epsilon: float) -> Candidates:
        """About the `size` nearest vectors of each query, and what is as near in its own cell."""
        near = self._cells.near(queries, 0.0)
        found = self._of_graph(queries, size, epsilon)
        own = self._of_cells(queries, near, found.limits(len(queries), size))
        return joined([found.only(~near[found.whose, self._cells.of(found.rows)]), *own])

    def _of_cells(
        self, queries: NDArray[np.float32], cells: NDArray[np.bool_], limits: Limits
    ) -> Iterator[Candidates]:
        """What is within its limit of each query in its `cells`, bool [queries, cells]."""
        starts = self._cells.starts
        for place in np.flatnonzero(cells).tolist():
            query, cell = divmod(place, cells.shape[1])
            first, last = int(starts[cell]), int(starts[cell + 1])
            distances = np.float32(1.0) - self._vectors[first:last] @ queries[query]
            near = np.flatnonzero(distances <= limits[query])
            yield Candidates(np.full(len(near), query), first + near, distances[near])

    def _of_graph(self, queries: NDArray[np.float32], size: int, epsilon: float) -> Candidates:
        """What NGT finds: about the `size` nearest vectors of each query."""
        assert self._ngt is not None
        if len(queries) == 1:  # no threads have to be woken for it
            each = np.array(self._ngt.search(queries[0], size, epsilon)).reshape(-1, 2)
            whose, objects, lengths = np.zeros(len(each), np.int64), each[:, 0].astype(np.int64), each[:, 1]
        else:
            self._ngt.set(epsilon=epsilon)
            found = ngtpy.BatchResults()
            self._ngt.batch_search(queries, found, size)
            whose = np.repeat(np.arange(len(queries)), np.diff(found.get_index().astype(np.int64)))
            objects, lengths = found.get_indexed_ids(), found.get_indexed_distances()
        return Candidates(whose, self._row_of_object[objects], lengths * lengths / 2)

    def _counting(
        self, rows: NDArray[np.int64], change: int, held: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Of which of `rows` some image counts as of `change` and is `held`."""
        if held is None and not self.died:
            return np.ones(len(rows), np.bool_)
        return np.array([bool(self._images(row, 1, change, held)) for row in rows.tolist()], np.bool_)

    def _images(self, row: int, count: int, change: int, held: NDArray[np.bool_] | None) -> list[str]:
        """The images that have the vector of `row`, at most `count`, as of `change`; of those `held`."""
        found: list[str] = []
        for position in range(self._members[row], self._members[row + 1]):
            if self.died.get(position, NEVER) > change and (held is None or held[position]):
                found.append(self.ids[position])
                if len(found) >= count:
                    break
        return found


@dataclass(frozen=True)
class _Wanted:
    """At least `count` of `rows`, or of all, for each query; `counting` says which of rows count.

    Those alone that are no farther than a query's own of `limits`, float32 [queries].
    """

    count: int
    rows: NDArray[np.int64] | None
    counting: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
    limits: Callable[[], Limits] | None

    def within_limits(self, few: NDArray[np.int64], reached: Limits) -> tuple[NDArray[np.int64], "_Wanted"]:
        """Which of the queries `few` want what is beyond `reached`, and what is wanted for them."""
        if self.limits is None:
            return few, self
        limits = self.limits()
        enough = np.isfinite(reached) & (reached > limits)
        few = few[~enough[few]]
        kept = limits[few]
        return few, replace(self, limits=lambda: kept)


def costs_less_by_graph(matching: int, total: int, count: int) -> bool:
    """Whether the graph finds `count` of the `matching` of `total` vectors sooner than comparing these does.

    It must be asked for about count * total / matching; comparing costs as many steps as there are.
    """
    return matching * matching > _GRAPH_COST * count * total


def open_segment(path: Path, identity: IndexIdentity, digest: str | None = None) -> Segment:
    """Check and open the segment in directory `path`; blocks for reading all of its files.

    `digest` is that of its manifest, where it is known from outside.

    Raises:
        Damaged: its files are not those that were written.
        IndexDirectoryError: it is whole, and belongs to another space, dimension or topic.

    """
    try:
        raw = (path / MANIFEST_FILE).read_bytes()
        found = digest_of(raw)
        if digest is not None and found != digest:
            raise Damaged(f"{path / MANIFEST_FILE}: its checksum does not hold")
        manifest = SegmentManifest.model_validate_json(raw)
        require_identity(path, manifest.identity, identity)
        check_files(path, manifest.files)
        segment = Segment(path, manifest, found)
        _check_counts(segment)
        segment.warm_up()
    except (RuntimeError, OSError, KeyError, ValueError, ValidationError) as error:  # ngtpy: RuntimeError
        raise Damaged(f"{path}: {error}") from error
    return segment


def require_identity(path: Path, found: IndexIdentity, wanted: IndexIdentity) -> None:
    """Raise IndexDirectoryError where what lies in `path` is of another space, dimension or topic."""
    if found != wanted:
        raise IndexDirectoryError(
            f"{path} holds {found}, this index is to hold {wanted}: "
            "set index.directory to another directory and index.name to another name"
        )


def read_ids(path: Path) -> list[str]:
    """The image ids of the segment in directory `path`, by position."""
    return _IDS.validate_json((path / IDS_FILE).read_bytes())


def write_ids(path: Path, ids: Iterable[str]) -> None:
    """Write the image ids of the segment in directory `path`."""
    (path / IDS_FILE).write_bytes(_IDS.dump_json(list(ids)))


def write_manifest(path: Path, manifest: SegmentManifest) -> None:
    """Write the manifest, last of a segment's files."""
    (path / MANIFEST_FILE).write_bytes(manifest.model_dump_json(indent=1).encode())


def _check_counts(segment: Segment) -> None:
    manifest = segment.manifest
    attributes = len(segment.attributes_of([])[0])
    if attributes != len(segment.ids):
        raise Damaged(f"{segment.path}: attributes of {attributes} images, {len(segment.ids)} ids are listed")
    held = manifest.vectors if segment._ngt is None else segment._ngt.get_num_of_objects()
    if len(segment.ids) != manifest.images or held != manifest.vectors:
        raise Damaged(
            f"{segment.path}: NGT holds {held} objects, {len(segment.ids)} ids are listed, "
            f"the manifest says {manifest.vectors} and {manifest.images}"
        )


def open_ngt(path: Path) -> ngtpy.Index:
    """NGT's own index of the segment in directory `path`, to be read."""
    return ngtpy.Index(str(path / NGT_FILES), read_only=True, log_disabled=True)


def load_array(path: Path, name: str) -> NDArray[Any]:
    """The array `name` of the segment in directory `path`."""
    array: NDArray[Any] = np.load(path / f"{name}.npy")
    return array
