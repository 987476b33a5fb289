"""A record of the embedded topic as a change to the index, or the reason why it is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.bundle import CopyHead
from schemas.events import ImageEmbedded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.index.attributes import NOTHING_KNOWN, Attributes, microseconds
from worker.index.groups import founded_by
from worker.stream.kafka import InputRecord

# Below this a vector is rounding noise around zero: its direction means nothing.
_MIN_NORM = 1e-12


@dataclass(frozen=True)
class Upsert:
    """The image is searchable from now on by `vector`: float32 [dim], of unit L2 norm.

    `other_copy_space` is that of its copy vector, where it is of another than the index's and left out.
    """

    image_id: str
    event_id: str
    vector: NDArray[np.float32]
    attributes: Attributes = NOTHING_KNOWN
    other_copy_space: str | None = None


@dataclass(frozen=True)
class Delete:
    """The image is not searchable any more."""

    image_id: str
    event_id: str


@dataclass(frozen=True)
class OfAnotherSpace:
    """The vector is another index's: it changes nothing here, and is no fault of the record."""

    space: str


def parse_change(
    record: InputRecord, space: str, dim: int, copies: CopyHead | None = None
) -> Upsert | Delete | OfAnotherSpace:
    """What `record` asks of an index of vectors of `space` with `dim` dimensions, and of vectors of `copies`.

    Raises:
        Rejection: the key is no image id, the value no ImageEmbedded event of this key, or a vector
            of these spaces is of another dimension, not finite, or zero.

    """
    image_id = _image_id(record.key)
    if record.value is None:
        return Delete(image_id, f"{record.topic}/{record.partition}/{record.offset}")
    event = _event(record.value)
    if event.image_id != image_id:
        raise Rejection(
            RejectionReason.ENVELOPE_INVALID,
            f"the record's key is {image_id!r}, its event's image_id {event.image_id!r}: they must be equal",
        )
    if event.space != space:
        return OfAnotherSpace(event.space)
    copy_vector = _copy_vector(event, copies)
    attributes = Attributes(
        category=event.category,
        listing_id=event.listing_id,
        tags=tuple(event.tags),
        uploaded=microseconds(event.uploaded_at),
        preferences=event.preferences,
        group=founded_by(event.image_sha256),
        copy_vector=copy_vector,
    )
    vector = unit_vector(event.vector.to_array(), dim)
    is_left_out = event.copy_vector is not None and copy_vector is None
    return Upsert(
        image_id, str(event.event_id), vector, attributes, (event.copy_space or "") if is_left_out else None
    )


def unit_vector(vector: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """`vector` scaled to unit L2 norm, float32 [dim].

    Raises:
        Rejection: another dimension than `dim`, NaN or infinite components, or no direction.

    """
    if vector.shape != (dim,):
        raise Rejection(
            RejectionReason.VECTOR_INVALID,
            f"the vector has {vector.size} dimensions, this index holds vectors of {dim}",
        )
    wide = vector.astype(np.float64)  # the square of a large float32 overflows
    if not np.isfinite(wide).all():
        raise Rejection(RejectionReason.VECTOR_INVALID, "the vector has NaN or infinite components")
    norm = float(np.sqrt((wide * wide).sum()))  # the same on every machine, as BLAS's is not
    if norm < _MIN_NORM:
        raise Rejection(RejectionReason.VECTOR_INVALID, "the vector is zero: it has no direction")
    return (wide / norm).astype(np.float32)


def _copy_vector(event: ImageEmbedded, copies: CopyHead | None) -> NDArray[np.float32] | None:
    """That of the event, of unit norm; None where it has none of the space of `copies`.

    Earlier releases named no space: of the right dimension, theirs is taken for this one.
    """
    if event.copy_vector is None or copies is None:
        return None
    is_unnamed = event.copy_space is None and event.copy_vector.dim == copies.dim
    if event.copy_space != copies.space and not is_unnamed:
        return None
    return unit_vector(event.copy_vector.to_array(), copies.dim)


def _image_id(key: bytes | None) -> str:
    try:
        image_id = (key or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejection(
            RejectionReason.ENVELOPE_INVALID, f"the record's key is not UTF-8: {error.reason}"
        ) from error
    if not image_id:
        raise Rejection(RejectionReason.ENVELOPE_INVALID, "the record has no key: it must be the image id")
    return image_id


def _event(value: bytes) -> ImageEmbedded:
    try:
        return ImageEmbedded.read(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the value"
        raise Rejection(_reason(first["type"], first["loc"]), f"{where}: {first['msg']}") from error


def _reason(kind: str, where: tuple[int | str, ...]) -> RejectionReason:
    if kind == "json_invalid":
        return RejectionReason.ENVELOPE_NOT_JSON
    if where[:1] == ("type",):
        return RejectionReason.ENVELOPE_UNKNOWN_TYPE
    if where[:1] == ("vector",):
        return RejectionReason.VECTOR_INVALID
    return RejectionReason.ENVELOPE_INVALID
