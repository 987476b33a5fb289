"""An index as one Parquet file, out and in: docs/operations.md has its format.

pyarrow is imported where it is used: serving does not need it.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.errors import ConfigurationError, IndexDirectoryError, MekikiError, Rejection
from worker.index.attributes import Attributes, microseconds
from worker.index.backend import IndexIdentity
from worker.index.change import unit_vector
from worker.index.ngt.copies import common_space
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.durable import sync_directory
from worker.index.ngt.live import Batch
from worker.index.ngt.merging import MAX_IMAGES
from worker.index.ngt.segment import Segment
from worker.index.offline.owned import generation_paths, open_newest
from worker.index.offline.segments import StartBuild, build_segments, discard, publish_alone
from worker.index.tail import Tail

# The file's own metadata, beside pyarrow's.
METADATA_KEY = b"mekiki.index"
# Rows of a row group, and how many are held at once: 8 MB of 256 dimensions.
ROWS_AT_ONCE = 8192
_BUFFER_BYTES = 1 << 20
# Vectors of this length or nearer to it are taken as they are, bit by bit.
_UNIT_TOLERANCE = 1e-5

# Columns that a file of others may lack.
_GROUP = re.compile("[0-9a-f]{16}")
_ATTRIBUTES = ("category", "listing_id", "tags", "uploaded_at", "preferences", "group", "copy_vector")

Progress = Callable[[int], object]
Row = tuple[str, NDArray[np.float32], Attributes]


class NotImported(MekikiError):
    """A Parquet file holds no index, or a row of it no image; nothing was changed."""


class ExportedIndex(BaseModel):
    """What stands beside the rows: where in which log they end. JSON under `mekiki.index`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    identity: IndexIdentity
    created_at: Annotated[AwareDatetime, Field(description="when every record before `offsets` was in")]
    offsets: Annotated[dict[int, int], Field(description="partition -> offset of the next record")]
    images: Annotated[int, Field(ge=0)]
    copy_space: Annotated[
        str | None,
        Field(description="of copy_vector; left out where it is not known", exclude_if=lambda it: it is None),
    ] = None


def export_index(directory: Path, out: Path, progress: Progress = lambda _: None) -> int:
    """Write the newest generation in `directory` as `out`; gives the number of images.

    Holds ROWS_AT_ONCE vectors at a time. `out` is there when it is whole.

    Raises:
        ConfigurationError: pyarrow is missing, or `out` cannot be written.
        IndexDirectoryError: there is no generation, or it is of an earlier release.
        Damaged: a file of it is not the one that was written.

    """
    parquet, generation = _pyarrow("pyarrow.parquet"), open_newest(directory)
    about = ExportedIndex(
        identity=generation.manifest.identity,
        created_at=generation.manifest.created_at,
        offsets=generation.manifest.offsets,
        images=sum(segment.living for segment in generation.segments),
        copy_space=common_space(segment.copies for segment in generation.segments),
    )
    schema = _schema(about.identity.dim).with_metadata({METADATA_KEY: about.model_dump_json()})
    part = out.with_name(f"{out.name}.part")
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for segment in generation.segments:
                for table in _tables(segment, schema):
                    writer.write_table(table)
                    progress(table.num_rows)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.rename(out)
        sync_directory(out.absolute().parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigurationError(f"--out {out} cannot be written: {error}") from error
    return about.images


def import_index(
    file: Path,
    directory: Path,
    topic: str,
    start_build: StartBuild,
    space: str | None = None,
    progress: Progress = lambda _: None,
) -> int:
    """Make a generation in the empty `directory` of the rows of `file`; gives the number of images.

    Where `file` says so, it stands for its log's offsets; else it is of `space` and `topic`, as old as now,
    and the whole log is read on top of it. Holds ROWS_AT_ONCE rows and one segment's vectors at a time.

    Raises:
        ConfigurationError: pyarrow is missing, or the file is of another index than is asked for.
        IndexDirectoryError: `directory` holds a generation.
        NotImported: the file is no Parquet file of images and vectors, or a row of it is no image.
        BuildFailed: a child process ended without a segment.

    """
    if generation_paths(directory):
        raise IndexDirectoryError(f"{directory} holds an index: import into an empty --directory")
    source = _open(file)
    about = _about(source, file, topic, space)
    own = IndexDirectory(directory, about.identity, about.copy_space)
    own.remove_leftovers()
    rows = _rows(source, file, about.identity.dim)
    segments = build_segments(own, _batches(rows, about.identity.dim, progress), start_build)
    images = sum(len(segment) for segment in segments)
    if images != about.images:
        discard(segments)
        raise NotImported(f"{file} says that it holds {about.images} images, and has {images}")
    publish_alone(own, segments, about.offsets, about.created_at)
    return images


def _pyarrow(name: str) -> ModuleType:
    try:
        return __import__(name, fromlist=["*"])
    except ImportError as error:
        raise ConfigurationError(f"Parquet needs pyarrow ({error}): install mekiki[parquet]") from error


def _schema(dim: int) -> Any:
    arrow = _pyarrow("pyarrow")
    return arrow.schema(
        [
            arrow.field("image_id", arrow.string(), nullable=False),
            arrow.field("vector", arrow.list_(arrow.float32(), dim), nullable=False),
            arrow.field("category", arrow.string()),
            arrow.field("listing_id", arrow.string()),
            arrow.field("tags", arrow.list_(arrow.string()), nullable=False),
            arrow.field("uploaded_at", arrow.timestamp("us", "UTC")),
            arrow.field("preferences", arrow.map_(arrow.string(), arrow.float32())),
            arrow.field("group", arrow.string()),
            arrow.field("copy_vector", arrow.list_(arrow.float32())),
        ]
    )


def _tables(segment: Segment, schema: Any) -> Iterator[Any]:
    arrow, living = _pyarrow("pyarrow"), [p for p in range(len(segment)) if p not in segment.died]
    for first in range(0, len(living), ROWS_AT_ONCE):
        positions = living[first : first + ROWS_AT_ONCE]
        flat = arrow.array(segment.vectors_of(positions).reshape(-1))
        held, rows = segment.attributes_of(positions)
        known = [held.row(row) for row in rows.tolist()]
        columns = [
            arrow.array([segment.ids[position] for position in positions], arrow.string()),
            arrow.FixedSizeListArray.from_arrays(flat, segment.manifest.identity.dim),
            arrow.array([each.category for each in known], arrow.string()),
            arrow.array([each.listing_id for each in known], arrow.string()),
            arrow.array([each.tags for each in known], arrow.list_(arrow.string())),
            arrow.array([each.uploaded for each in known], arrow.timestamp("us", "UTC")),
            arrow.array([each.preferences for each in known], schema.field("preferences").type),
            arrow.array([each.group for each in known], arrow.string()),
            arrow.array([each.copy_vector for each in known], schema.field("copy_vector").type),
        ]
        yield arrow.Table.from_arrays(columns, schema=schema)


def _open(file: Path) -> Any:
    parquet = _pyarrow("pyarrow.parquet")
    try:
        return parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise NotImported(f"{file} is no Parquet file that can be read: {error}") from error


def _about(source: Any, file: Path, topic: str, space: str | None) -> ExportedIndex:
    """What the file says of itself, or what can be said of one that others wrote."""
    schema = source.schema_arrow
    for name in ("image_id", "vector"):
        if name not in schema.names:
            raise NotImported(f"{file} has no column {name}, but {', '.join(schema.names)}")
    dim = _dim(source, file)
    raw = (schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        return _about_others(dim, source.metadata.num_rows, file, topic, space)
    try:
        about = ExportedIndex.model_validate_json(raw)
    except ValidationError as error:
        raise NotImported(f"{file}: its metadata {METADATA_KEY.decode()} is none: {error}") from error
    if about.identity.dim != dim:
        raise NotImported(f"{file}: it says {about.identity.dim} dimensions, and has {dim}")
    wanted = (space or about.identity.space, topic)
    if wanted != (about.identity.space, about.identity.topic):
        raise ConfigurationError(
            f"{file} is of space {about.identity.space!r} and topic {about.identity.topic!r}, "
            f"not of {wanted[0]!r} and {wanted[1]!r} (--space, topics.embedded)"
        )
    return about


def _dim(source: Any, file: Path) -> int:
    """The length of the first vector, or that of all by the column's type."""
    types, kind = _pyarrow("pyarrow").types, source.schema_arrow.field("vector").type
    is_list = types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind)
    if not is_list or not types.is_floating(kind.value_type):
        raise NotImported(f"{file}: vector is {kind}, and must be a list of floats")
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    first = next(source.iter_batches(1, columns=["vector"]), None)
    dim = len(first.column("vector")[0].as_py() or ()) if first is not None else 0
    if dim == 0:
        raise NotImported(f"{file} has no vector, or an empty one")
    return dim


def _about_others(dim: int, images: int, file: Path, topic: str, space: str | None) -> ExportedIndex:
    if space is None:
        raise ConfigurationError(f"{file} does not say of which space its vectors are: name it by --space")
    identity = IndexIdentity(space=space, dim=dim, topic=topic)
    return ExportedIndex(identity=identity, created_at=datetime.now(UTC), offsets={}, images=images)


def _rows(source: Any, file: Path, dim: int) -> Iterator[Row]:
    """Each image id, its vector of unit norm and its attributes, in the order of the file."""
    compute = _pyarrow("pyarrow.compute")
    seen: set[str] = set()
    try:
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=_columns(source)):
            ids, vectors = batch.column("image_id").to_pylist(), batch.column("vector")
            lengths = compute.list_value_length(vectors)
            if vectors.flatten().null_count or compute.unique(lengths).to_pylist() != [dim]:
                raise NotImported(
                    f"{file}: within {len(ids)} rows after {len(seen)} a vector is null, or not {dim} long"
                )
            matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), dim)
            for image_id, vector, known in zip(ids, matrix, _attributes(batch), strict=True):
                if not isinstance(image_id, str) or not image_id or image_id in seen:
                    raise NotImported(
                        f"{file}: row {len(seen)}: {image_id!r} is no image id, or stands twice"
                    )
                seen.add(image_id)
                yield image_id, _unit(vector, dim, f"{file}: row {len(seen) - 1} ({image_id!r})"), known
    except (OSError, ValueError, NotImplementedError) as error:  # the last: a column of another kind
        raise NotImported(f"{file} cannot be read further than row {len(seen)}: {error}") from error


def _columns(source: Any) -> list[str]:
    return ["image_id", "vector", *(name for name in _ATTRIBUTES if name in source.schema_arrow.names)]


def _attributes(batch: Any) -> Iterator[Attributes]:
    """Of each row; of columns that the file does not have nothing is known. Times without a zone are UTC."""
    nothing, wanted = [None] * batch.num_rows, _schema(1)
    columns = {
        name: batch.column(name).cast(wanted.field(name).type).to_pylist()
        if name in batch.schema.names
        else nothing
        for name in _ATTRIBUTES
    }
    for category, listing_id, tags, uploaded, scores, group, copy in zip(*columns.values(), strict=True):
        time = None if uploaded is None else microseconds(uploaded)
        known = {name: score for name, score in scores or () if score is not None}
        of_tags = tuple(tag for tag in tags or () if tag)
        yield Attributes(category, listing_id, of_tags, time, known, _group(group), _copy_vector(copy))


def _group(text: str | None) -> str | None:
    if text is not None and not _GROUP.fullmatch(text):
        raise NotImported(f"{text!r} is no group: it has 16 hexadecimal digits")
    return text


def _copy_vector(numbers: list[float] | None) -> NDArray[np.float32] | None:
    return _unit(np.array(numbers), len(numbers), "a copy_vector") if numbers else None


def _unit(vector: NDArray[Any], dim: int, where: str) -> NDArray[np.float32]:
    single = vector.astype(np.float32)
    if abs(float(np.linalg.norm(single.astype(np.float64))) - 1.0) < _UNIT_TOLERANCE:
        return single
    try:
        return unit_vector(single, dim)
    except Rejection as rejection:
        raise NotImported(f"{where}: {rejection.detail}") from rejection


def _batches(rows: Iterator[Row], dim: int, progress: Progress) -> Iterator[Batch]:
    """The rows as what a segment is built of, MAX_IMAGES at most."""
    tail = Tail(dim)
    for image_id, vector, known in rows:
        tail.append(image_id, vector, known)
        progress(1)
        if len(tail) == MAX_IMAGES:
            yield _all_of(tail)
            tail = Tail(dim)
    if len(tail):
        yield _all_of(tail)


def _all_of(tail: Tail) -> Batch:
    return Batch(((tail, list(range(len(tail)))),), 0)
