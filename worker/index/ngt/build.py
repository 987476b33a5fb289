"""The process that builds a segment: `python -m worker.index.ngt.build WORK_DIRECTORY`.

ngtpy holds the interpreter's lock while it builds, so that building inside the role would stall
every search. This process imports NGT and numpy, no Kafka client and no model; it writes
`segment/` into the work directory and makes it durable. Publishing it is the parent's.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from worker.index.attributes import AttributeColumns, read_columns, together, write_columns
from worker.index.backend import IndexIdentity
from worker.index.ngt.binding import ngtpy
from worker.index.ngt.cells import group
from worker.index.ngt.checksums import list_files
from worker.index.ngt.copies import group_copies, write_copies
from worker.index.ngt.durable import sync_tree
from worker.index.ngt.segment import (
    ATTRIBUTES,
    DISTANCE_TYPE,
    NGT_FILES,
    SegmentManifest,
    write_ids,
    write_manifest,
)

BUILT = "segment"
REQUEST_FILE = "request.json"
VECTORS_FILE = "vectors.npy"

# Up to here comparing with every vector is as quick as the graph, and exact.
EXACT_UP_TO = 1000


class BuildRequest(BaseModel):
    """`request.json` of a work directory; vectors and attributes of `ids` lie beside it, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: IndexIdentity
    ids: list[str]
    threads: int
    copy_space: Annotated[str | None, Field(description="of the copy vectors; null: not known")] = None


def write_request(
    work: Path, request: BuildRequest, vectors: NDArray[np.float32], attributes: AttributeColumns
) -> None:
    """Write `request`, and vectors (float32 [len(ids), dim]) and attributes of its ids, into `work`."""
    write_columns(work / ATTRIBUTES, attributes)
    np.save(work / VECTORS_FILE, vectors)
    (work / REQUEST_FILE).write_text(request.model_dump_json(), encoding="utf-8")


def build(work: Path) -> None:
    """Build what `work`'s request asks for into `work`/segment, durably.

    Raises:
        RuntimeError: NGT failed, or does not hold what it was given.
        ValueError: the request is none, or does not fit its vectors.
        OSError: the disk failed or is full.

    """
    request = BuildRequest.model_validate_json((work / REQUEST_FILE).read_bytes())
    given: NDArray[np.float32] = np.load(work / VECTORS_FILE)
    attributes = read_columns(work / ATTRIBUTES)
    if not len(given) == len(attributes) == len(request.ids) == len(set(request.ids)):
        raise ValueError(f"{len(request.ids)} ids ({len(set(request.ids))} different), {len(given)} vectors")
    target = work / BUILT
    target.mkdir()
    vectors, rows = _distinct(given)
    cells, order = group(vectors)
    vectors = vectors[order]
    rows = np.argsort(order)[rows]
    names = np.array(request.ids, object)
    positions = np.lexsort((np.array(request.ids), rows))
    members = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(vectors)))])
    has_graph = len(vectors) > EXACT_UP_TO
    objects = _graph(vectors, request, target / NGT_FILES) if has_graph else np.arange(len(vectors))
    arrays: dict[str, NDArray[Any]] = {
        "vectors": vectors,
        "members": members.astype(np.int64),
        "centroids": cells.centroids,
        "starts": cells.starts,
        "objects": objects.astype(np.int32),
    }
    for name, array in arrays.items():
        np.save(target / f"{name}.npy", array)
    write_ids(target, names[positions].tolist())
    kept = together([(attributes, positions)])
    write_columns(target / ATTRIBUTES, kept)
    if request.copy_space is not None:
        write_copies(target, group_copies(request.copy_space, kept.copy_vectors))
    write_manifest(
        target,
        SegmentManifest(
            identity=request.identity,
            images=len(request.ids),
            vectors=len(vectors),
            graph=has_graph,
            files=list_files(target),
        ),
    )
    sync_tree(target)


def _distinct(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The different ones among `vectors`, in their order, and which of them each one is."""
    # -0.0 and 0.0 differ by bytes alone
    raw = np.ascontiguousarray(vectors + np.float32(0.0))
    places: dict[bytes, int] = {}
    rows = np.array([places.setdefault(row.tobytes(), len(places)) for row in raw], np.int64)
    firsts = np.unique(rows, return_index=True)[1]
    return raw[firsts], rows


def _graph(vectors: NDArray[np.float32], request: BuildRequest, target: Path) -> NDArray[np.int64]:
    """Write NGT's files; give the object id of each vector."""
    ngtpy.create(str(target), dimension=request.identity.dim, distance_type=DISTANCE_TYPE)
    index = ngtpy.Index(str(target), log_disabled=True)
    objects = np.array([index.insert(vector) for vector in vectors], np.int64)
    index.build_index(num_threads=request.threads)
    for object_id, vector in zip(objects.tolist(), vectors, strict=True):
        if not np.array_equal(np.array(index.get_object(object_id), np.float32), vector):
            raise RuntimeError(f"NGT object {object_id} does not hold the vector that it was given")
    if index.get_num_of_objects() != len(vectors):
        raise RuntimeError(f"NGT holds {index.get_num_of_objects()} objects of {len(vectors)}")
    index.save()
    index.close()
    return objects


def _end_with_parent() -> None:
    """The parent holds our standard input open: when it ends, in whatever way, so does this process."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(5)  # searches go first
    build(Path(sys.argv[1]))
