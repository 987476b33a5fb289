"""The process that builds a generation: `python -m worker.index.ngt.build WORK_DIRECTORY`.

ngtpy holds the interpreter's lock while it builds, so that building inside the role would stall
every search. This process imports NGT and numpy, no Kafka client and no model; it writes
`generation/` into the work directory and makes it durable. Publishing it is the parent's.
"""

import os
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import ngtpy
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from worker.index.backend import IndexIdentity
from worker.index.ngt.durable import sync_tree
from worker.index.ngt.generation import (
    DISTANCE_TYPE,
    NGT_FILES,
    GenerationManifest,
    list_files,
    read_ids,
    read_manifest,
    write_ids,
    write_manifest,
)

BUILT = "generation"
REQUEST_FILE = "request.json"
VECTORS_FILE = "vectors.npy"

# Removals leave holes in NGT's graph: past this share of the objects it is made afresh.
MAX_REMOVED_RATIO = 0.3


class BuildRequest(BaseModel):
    """`request.json` of a work directory; the vectors of `upserts` lie beside it, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Annotated[Path | None, Field(description="directory of the generation to go on from")]
    graph: Annotated[
        Literal["extend", "afresh"], Field(description="go on from the base's graph, or make a new one")
    ]
    number: int
    identity: IndexIdentity
    created_at: datetime
    offsets: dict[int, int]
    upserts: list[str]
    deletes: list[str]
    threads: int


def write_request(work: Path, request: BuildRequest, vectors: NDArray[np.float32]) -> None:
    """Write `request` and the vectors of its upserts, float32 [len(upserts), dim], into `work`."""
    np.save(work / VECTORS_FILE, vectors)
    (work / REQUEST_FILE).write_text(request.model_dump_json(), encoding="utf-8")


def build(work: Path) -> None:
    """Build what `work`'s request asks for into `work`/generation, durably.

    Raises:
        RuntimeError: NGT failed, or does not hold what it was given.
        OSError: the disk failed or is full.

    """
    request = BuildRequest.model_validate_json((work / REQUEST_FILE).read_bytes())
    vectors: NDArray[np.float32] = np.load(work / VECTORS_FILE)
    target = work / BUILT
    target.mkdir()
    ids, removed = _objects(request, vectors, target / NGT_FILES)
    write_ids(target, ids)
    write_manifest(
        target,
        GenerationManifest(
            number=request.number,
            identity=request.identity,
            created_at=request.created_at,
            offsets=request.offsets,
            objects=len(ids),
            removed=removed,
            files=list_files(target),
        ),
    )
    sync_tree(target)


def _objects(request: BuildRequest, vectors: NDArray[np.float32], target: Path) -> tuple[dict[str, int], int]:
    """Write NGT's files; give the id map and the number of objects removed from the graph."""
    if request.base is None:
        return _create(request, request.upserts, vectors, target), 0
    ids = read_ids(request.base)
    gone = [image_id for image_id in (*request.deletes, *request.upserts) if image_id in ids]
    removed = read_manifest(request.base).removed + len(gone)
    if request.graph == "extend" and removed <= MAX_REMOVED_RATIO * (len(ids) - len(gone)):
        return _extend(request, ids, gone, vectors, target), removed
    for image_id in gone:
        del ids[image_id]
    kept = _stored(request.base / NGT_FILES, ids.values(), request.identity.dim)
    names = [*ids, *request.upserts]
    return _create(request, names, np.concatenate([kept, vectors]), target), 0


def _create(
    request: BuildRequest, names: Sequence[str], vectors: NDArray[np.float32], target: Path
) -> dict[str, int]:
    ngtpy.create(str(target), dimension=request.identity.dim, distance_type=DISTANCE_TYPE)
    index = ngtpy.Index(str(target), log_disabled=True)
    ids = _insert(index, names, vectors, request.threads)
    _save(index, ids)
    return ids


def _extend(
    request: BuildRequest,
    ids: dict[str, int],
    gone: Iterable[str],
    vectors: NDArray[np.float32],
    target: Path,
) -> dict[str, int]:
    assert request.base is not None
    shutil.copytree(request.base / NGT_FILES, target)
    index = ngtpy.Index(str(target), log_disabled=True)
    for image_id in gone:
        index.remove(ids.pop(image_id))
    ids.update(_insert(index, request.upserts, vectors, request.threads))
    _save(index, ids)
    return ids


def _insert(
    index: ngtpy.Index, names: Sequence[str], vectors: NDArray[np.float32], threads: int
) -> dict[str, int]:
    """Insert `vectors`; NGT says under which object id, which may be one that was removed."""
    if not len(names):
        return {}
    ids = {name: index.insert(vector) for name, vector in zip(names, vectors, strict=True)}
    index.build_index(num_threads=threads)
    for name, vector in zip(names, vectors, strict=True):
        if not np.array_equal(np.array(index.get_object(ids[name]), np.float32), vector):
            raise RuntimeError(f"NGT object {ids[name]} does not hold the vector of {name!r}")
    return ids


def _save(index: ngtpy.Index, ids: dict[str, int]) -> None:
    if len(set(ids.values())) != len(ids) or index.get_num_of_objects() != len(ids):
        raise RuntimeError(f"NGT holds {index.get_num_of_objects()} objects, the id map {len(ids)}")
    index.save()
    index.close()


def _stored(ngt: Path, object_ids: Iterable[int], dim: int) -> NDArray[np.float32]:
    index = ngtpy.Index(str(ngt), read_only=True, log_disabled=True)
    rows = [np.array(index.get_object(object_id), np.float32) for object_id in object_ids]
    return np.stack(rows) if rows else np.empty((0, dim), np.float32)


def _end_with_parent() -> None:
    """The parent holds our standard input open: when it ends, in whatever way, so does this process."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(5)  # searches go first
    build(Path(sys.argv[1]))
