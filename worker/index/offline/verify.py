"""Whether an index directory is what was written, and whether its parts agree with each other."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from worker.index.attributes import read_columns
from worker.index.ngt.checksums import Damaged, check_files, digest_of
from worker.index.ngt.copies import COPIES, read_copies
from worker.index.ngt.generation import GenerationManifest, OldFormat, SegmentEntry, read_manifest
from worker.index.ngt.segment import (
    ATTRIBUTES,
    MANIFEST_FILE,
    SegmentManifest,
    load_array,
    open_ngt,
    read_ids,
)
from worker.index.offline.owned import generation_paths

# How far a stored vector's length may be from 1: rounding of float32, for any dimension that there is.
_LENGTH_TOLERANCE = 1e-3
_CHUNK = 8192


class Verified(NamedTuple):
    """One thing that was looked at, and what is wrong with it; nothing: it is whole."""

    subject: str
    faults: list[str]


def verify(directory: Path) -> Iterator[Verified]:
    """Look at every generation and segment in `directory`; blocks for reading all of it. Changes nothing.

    A segment's files are compared with their digests; then that ids, vectors, cells and NGT's objects agree.
    """
    looked_at: dict[str, list[str] | None] = {}
    for path in generation_paths(directory):
        try:
            manifest = read_manifest(path)
        except OldFormat:
            yield Verified(path.name, ["it is of an earlier release, and is rebuilt from the log"])
            continue
        except Damaged as error:
            yield Verified(path.name, [str(error)])
            continue
        ids: Counter[str] = Counter()
        for entry in manifest.segments:
            if entry.name not in looked_at:
                faults, looked_at[entry.name] = _look(directory / entry.name, manifest, entry)
                yield Verified(entry.name, faults)
            ids.update(_counting(looked_at[entry.name] or [], entry.dead))
        yield Verified(path.name, _generation_faults(directory, manifest, looked_at, ids))


def _look(
    path: Path, generation: GenerationManifest, entry: SegmentEntry
) -> tuple[list[str], list[str] | None]:
    """What is wrong with the segment in `path`, and its ids where they can be read."""
    try:
        raw = (path / MANIFEST_FILE).read_bytes()
        manifest = SegmentManifest.model_validate_json(raw)
    except (OSError, ValidationError) as error:
        return [f"{path / MANIFEST_FILE}: {error}"], None
    faults = []
    if digest_of(raw) != entry.digest:
        faults.append(f"{path / MANIFEST_FILE}: its checksum does not hold")
    if manifest.identity != generation.identity:
        faults.append(f"it holds {manifest.identity}, {generation.name} holds {generation.identity}")
    for file in manifest.files:
        try:
            check_files(path, [file])
        except Damaged as error:
            faults.append(str(error))
    if faults:
        return faults, None
    try:
        return list(_disagreements(path, manifest)), read_ids(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # ngtpy raises RuntimeError
        return [f"{path}: {error}"], None


def _disagreements(path: Path, manifest: SegmentManifest) -> Iterator[str]:
    """Where files that are each as they were written do not fit each other."""
    ids, members, starts = read_ids(path), load_array(path, "members"), load_array(path, "starts")
    objects, centroids = load_array(path, "objects"), load_array(path, "centroids")
    vectors = np.load(path / "vectors.npy", mmap_mode="r")
    told = {
        f"{manifest.images} images are listed, of {len(ids)} ids": len(ids) == manifest.images,
        "an image id stands twice": len(set(ids)) == len(ids),
        f"vectors.npy is {vectors.shape} {vectors.dtype}": (vectors.dtype == np.float32)
        & (vectors.shape == (manifest.vectors, manifest.identity.dim)),
        "members.npy does not give each vector its images": _is_partition(
            members, manifest.vectors, manifest.images
        ),
        "starts.npy does not give each cell its vectors": _is_partition(
            starts, len(centroids), manifest.vectors
        ),
        "objects.npy does not name an object for each vector": len(np.unique(objects))
        == len(objects)
        == manifest.vectors,
    }
    wrong = [text for text, holds in told.items() if not holds]
    yield from wrong
    if (path / ATTRIBUTES).is_dir():
        attributes = read_columns(path / ATTRIBUTES)
        copies = read_copies(path, attributes.copy_vectors)
        if copies.cells is not None and not _is_partition(
            copies.cells.starts, len(copies.cells.centroids), len(copies.positions)
        ):
            yield f"{COPIES}/starts.npy does not give each cell its copy vectors"
        yield from (f"{ATTRIBUTES}: {fault}" for fault in attributes.faults())
        if len(attributes) != len(ids):
            yield f"{ATTRIBUTES} are of {len(attributes)} images, {len(ids)} ids are listed"
    if not wrong:
        yield from _wrong_vectors(path, vectors)
        if manifest.graph:
            yield from _ngt_disagreements(path, vectors, objects)


def _is_partition(bounds: np.ndarray, parts: int, whole: int) -> bool:
    """Whether `bounds`, int64 [parts + 1], cut `whole` into `parts`."""
    return (
        len(bounds) == parts + 1
        and bounds[0] == 0
        and bounds[-1] == whole
        and bool((np.diff(bounds) >= 0).all())
    )


def _wrong_vectors(path: Path, vectors: np.ndarray) -> Iterator[str]:
    for first in range(0, len(vectors), _CHUNK):
        lengths = np.linalg.norm(vectors[first : first + _CHUNK].astype(np.float64), axis=1)
        for row in np.flatnonzero(~(np.abs(lengths - 1) < _LENGTH_TOLERANCE)):
            yield f"{path / 'vectors.npy'}: vector {first + row} has length {lengths[row]:.4g}, not 1"


def _ngt_disagreements(path: Path, vectors: np.ndarray, objects: np.ndarray) -> Iterator[str]:
    ngt = open_ngt(path)
    if ngt.get_num_of_objects() != len(vectors):
        yield f"NGT holds {ngt.get_num_of_objects()} objects, for {len(vectors)} vectors"
    for row, object_id in enumerate(objects.tolist()):
        if not np.array_equal(np.array(ngt.get_object(object_id), np.float32), vectors[row]):
            yield f"NGT's object {object_id} is not vector {row}, which it stands for"


def _counting(ids: list[str], dead: list[int]) -> list[str]:
    gone = set(dead)
    return [image_id for position, image_id in enumerate(ids) if position not in gone]


def _generation_faults(
    directory: Path,
    manifest: GenerationManifest,
    looked_at: dict[str, list[str] | None],
    ids: Counter[str],
) -> list[str]:
    faults = [f"{image_id!r} counts in {times} segments" for image_id, times in ids.items() if times > 1]
    for entry in manifest.segments:
        held = looked_at[entry.name]
        if held is None:
            faults.append(f"it needs {directory / entry.name}, which is damaged")
        elif len(set(entry.dead)) != len(entry.dead) or not all(0 <= p < len(held) for p in entry.dead):
            faults.append(f"it marks images of {entry.name} that are not there, or some twice")
    return faults
