"""A generation: NGT's files, the id map and a manifest with log offsets and checksums.

    generation-00000012/
        manifest.json          GenerationManifest
        manifest.json.sha256   of the line above, since nothing else holds the manifest itself
        ids.json               image id -> NGT object id
        ngt/                   NGT's own files

NGT loads a truncated graph file without an error and then returns wrong neighbours, and gives
removed object ids to the next inserts: hence checksums over every file and an id map of our own.
"""

import hashlib
import json
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import ngtpy
import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worker.errors import IndexDirectoryError, MekikiError
from worker.index.backend import IndexIdentity
from worker.index.neighbour import Neighbour, nearest

NGT_FILES = "ngt"
IDS_FILE = "ids.json"
MANIFEST_FILE = "manifest.json"
MANIFEST_DIGEST_FILE = "manifest.json.sha256"

# NGT prunes by the triangle inequality, which cosine distance does not obey. On unit vectors L2 does,
# with the same order (L2^2 = 2 * cosine distance): recall@10 of 1.00 where "Cosine" stays at 0.93.
DISTANCE_TYPE = "L2"
_EPSILON = 0.1  # how far beyond the k-th distance the graph search goes on, as a share of it
_HIDDEN_HEADROOM = 8  # asked for beyond `count` where some are hidden; more only if that was too few

_IDS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


class DamagedGeneration(MekikiError):
    """A generation's files are not those that its manifest names."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenerationFile(_Model):
    """A file of a generation, by its path inside it."""

    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class GenerationManifest(_Model):
    """`manifest.json`."""

    format: Literal[1] = 1
    number: Annotated[int, Field(gt=0)]
    identity: IndexIdentity
    distance_type: str = DISTANCE_TYPE
    created_at: Annotated[AwareDatetime, Field(description="when every record before `offsets` was in")]
    offsets: Annotated[dict[int, int], Field(description="partition -> offset of the next record")]
    objects: Annotated[int, Field(ge=0)]
    removed: Annotated[int, Field(ge=0, description="objects removed since NGT's graph was made afresh")]
    files: list[GenerationFile]


class Generation:
    """An open generation, held in memory and never changed. Searches may come from any thread."""

    def __init__(self, path: Path, manifest: GenerationManifest, ids: Mapping[str, int]) -> None:
        self.path = path
        self.manifest = manifest
        self._ids = ids
        self._image_ids = {object_id: image_id for image_id, object_id in ids.items()}
        self._ngt = ngtpy.Index(str(path / NGT_FILES), read_only=True, log_disabled=True)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._ids

    @property
    def name(self) -> str:
        """Such as `generation-00000012`."""
        return generation_name(self.manifest.number)

    def age(self) -> float:
        """Seconds since every record before its offsets was in."""
        return (datetime.now(UTC) - self.manifest.created_at).total_seconds()

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """The vector of `image_id`, float32 [dim] of unit norm, or None."""
        object_id = self._ids.get(image_id)
        if object_id is None:
            return None
        return np.array(self._ngt.get_object(object_id), np.float32)

    def search(
        self, query: NDArray[np.float32], count: int, hidden: Container[str], hidden_count: int
    ) -> list[Neighbour]:
        """About the `count` nearest vectors to `query` (float32 [dim], unit norm) whose id is not `hidden`.

        NGT's approximate graph search (Iwasaki and Miyazaki, 2018). More are asked for where hidden ones
        take places.
        """
        size = count + min(hidden_count, _HIDDEN_HEADROOM)
        while True:
            objects: list[tuple[int, float]] = self._ngt.search(query, size, _EPSILON)
            # L2 distance d of unit vectors is cosine distance d^2 / 2; rounding may leave it a hair over 2.
            pairs = ((self._image_ids[object_id], distance) for object_id, distance in objects)
            found = [
                Neighbour(image_id, min(d * d / 2, 2.0)) for image_id, d in pairs if image_id not in hidden
            ]
            if len(found) >= count or len(objects) < size or size >= count + hidden_count:
                return nearest(found, count)
            size = min(4 * size, count + hidden_count)

    def warm_up(self) -> None:
        """Search once, alone: first searches of several threads at once can deadlock (NGT issue 174)."""
        query = np.zeros(self.manifest.identity.dim, np.float32)
        query[0] = 1.0
        self._ngt.search(query, 1, _EPSILON)

    def check_objects(self) -> None:
        """Look that NGT holds what the id map says.

        Raises:
            DamagedGeneration: another number of objects, or an id that NGT does not know.

        """
        held = self._ngt.get_num_of_objects()
        if held != len(self._ids) or held != self.manifest.objects:
            raise DamagedGeneration(
                f"{self.path}: NGT holds {held} objects, the id map {len(self._ids)}, "
                f"the manifest says {self.manifest.objects}"
            )


def generation_name(number: int) -> str:
    """The directory name of generation `number`."""
    return f"generation-{number:08d}"


def read_manifest(path: Path) -> GenerationManifest:
    """The manifest of the generation in directory `path`.

    Raises:
        DamagedGeneration: it is missing, unreadable or not the one that was written.

    """
    try:
        raw = (path / MANIFEST_FILE).read_bytes()
        digest = (path / MANIFEST_DIGEST_FILE).read_text(encoding="ascii").strip()
        if hashlib.sha256(raw).hexdigest() != digest:
            raise DamagedGeneration(f"{path / MANIFEST_FILE}: its checksum does not hold")
        return GenerationManifest.model_validate_json(raw)
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise DamagedGeneration(f"{path / MANIFEST_FILE}: {error}") from error


def read_ids(path: Path) -> dict[str, int]:
    """The id map of the generation in directory `path`: image id -> NGT object id."""
    return _IDS.validate_json((path / IDS_FILE).read_bytes())


def check_files(path: Path, manifest: GenerationManifest) -> None:
    """Compare every file's size and sha256 with the manifest.

    Raises:
        DamagedGeneration: a file is missing, of another size, or of other content.

    """
    for entry in manifest.files:
        try:
            if (path / entry.path).stat().st_size != entry.bytes:
                raise DamagedGeneration(f"{path / entry.path}: not {entry.bytes} bytes")
            if _sha256(path / entry.path) != entry.sha256:
                raise DamagedGeneration(f"{path / entry.path}: its checksum does not hold")
        except OSError as error:
            raise DamagedGeneration(f"{path / entry.path}: {error}") from error


def open_generation(path: Path, identity: IndexIdentity) -> Generation:
    """Check and open the generation in directory `path`; blocks for reading all of its files.

    Raises:
        DamagedGeneration: its files are not those that were written.
        IndexDirectoryError: it is whole, and belongs to another space, dimension or topic.

    """
    manifest = read_manifest(path)
    if manifest.identity != identity:
        raise IndexDirectoryError(
            f"{path} holds {manifest.identity}, this index is to hold {identity}: "
            "set index.directory to another directory and index.name to another name"
        )
    check_files(path, manifest)
    try:
        generation = Generation(path, manifest, read_ids(path))
        generation.check_objects()
        generation.warm_up()
    except (RuntimeError, OSError, ValidationError) as error:  # ngtpy raises RuntimeError
        raise DamagedGeneration(f"{path}: {error}") from error
    return generation


def write_ids(path: Path, ids: Mapping[str, int]) -> None:
    """Write the id map of the generation in directory `path`."""
    (path / IDS_FILE).write_text(json.dumps(ids), encoding="utf-8")


def list_files(path: Path) -> list[GenerationFile]:
    """Every file of a generation in the making, with its digest."""
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return [
        GenerationFile(
            path=file.relative_to(path).as_posix(), bytes=file.stat().st_size, sha256=_sha256(file)
        )
        for file in files
    ]


def write_manifest(path: Path, manifest: GenerationManifest) -> None:
    """Write the manifest, last of a generation's files."""
    raw = manifest.model_dump_json(indent=1).encode()
    (path / MANIFEST_FILE).write_bytes(raw)
    (path / MANIFEST_DIGEST_FILE).write_text(hashlib.sha256(raw).hexdigest(), encoding="ascii")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
