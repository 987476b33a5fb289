"""What lies in an index directory, by its manifests: no vector is read."""

import shutil
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from worker.index.backend import IndexIdentity
from worker.index.ngt.checksums import Damaged
from worker.index.ngt.directory import size_of
from worker.index.ngt.generation import OldFormat, read_manifest
from worker.index.ngt.segment import ATTRIBUTES, MANIFEST_FILE, SegmentManifest
from worker.index.offline.owned import generation_paths, newest_manifest


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentStats(_Model):
    """A segment of the newest generation. `images` are those in it, `searchable` those that count.

    Without attributes, of an earlier release, filters let in none of it.
    """

    name: str
    images: int
    searchable: int
    distinct_vectors: int
    has_graph: bool
    has_attributes: bool
    bytes: int


class GenerationStats(_Model):
    """A generation; `offsets` are by partition, of the next record. `fault`: why it cannot be used."""

    name: str
    created_at: AwareDatetime | None = None
    age_seconds: float | None = None
    offsets: dict[int, int] = {}
    segments: list[str] = []
    fault: str | None = None


class IndexStats(_Model):
    """An index directory. The tail lives in the role's memory: on disk there is none.

    `unused` are directories that the newest generation does not need: older ones, damaged, left by a crash.
    """

    directory: str
    identity: IndexIdentity
    vectors: int
    deleted: int
    bytes: int
    unused_bytes: int
    free_bytes: int
    generations: list[GenerationStats]
    segments: list[SegmentStats]
    unused: list[str]


def stats(directory: Path) -> IndexStats:
    """What `directory` holds; the newest generation's segments and sums, and every generation.

    Raises:
        IndexDirectoryError: there is no generation, or it is of an earlier release.
        Damaged: a manifest of the newest generation is not the one that was written.

    """
    newest = newest_manifest(directory)
    segments = [_segment(directory / entry.name, len(entry.dead)) for entry in newest.segments]
    used = {newest.name, *(segment.name for segment in segments)}
    unused = sorted(path for path in directory.iterdir() if path.is_dir() and path.name not in used)
    return IndexStats(
        directory=str(directory),
        identity=newest.identity,
        vectors=sum(segment.searchable for segment in segments),
        deleted=sum(segment.images - segment.searchable for segment in segments),
        bytes=size_of(directory),
        unused_bytes=sum(size_of(path) for path in unused),
        free_bytes=shutil.disk_usage(directory).free,
        generations=[_generation(path) for path in generation_paths(directory)],
        segments=segments,
        unused=[path.name for path in unused],
    )


def _segment(path: Path, dead: int) -> SegmentStats:
    try:
        manifest = SegmentManifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise Damaged(f"{path / MANIFEST_FILE}: {error}") from error
    return SegmentStats(
        name=path.name,
        images=manifest.images,
        searchable=manifest.images - dead,
        distinct_vectors=manifest.vectors,
        has_graph=manifest.graph,
        has_attributes=(path / ATTRIBUTES).is_dir(),
        bytes=size_of(path),
    )


def _generation(path: Path) -> GenerationStats:
    try:
        manifest = read_manifest(path)
    except OldFormat:
        return GenerationStats(name=path.name, fault="of an earlier release")
    except Damaged as error:
        return GenerationStats(name=path.name, fault=str(error))
    return GenerationStats(
        name=path.name,
        created_at=manifest.created_at,
        age_seconds=manifest.age(),
        offsets=manifest.offsets,
        segments=[entry.name for entry in manifest.segments],
    )
