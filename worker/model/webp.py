"""WebP (RFC 9649): its first frame, as a file of its own."""

import struct
from collections.abc import Iterator

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.colour import Colours
from worker.model.still import ImageLimits, Still

_ALPHA, _ANIMATED = 0x10, 0x02
# The canvas twice, the bytes that are handed over, and Pillow's image, 4 bytes a pixel each.
_PIXEL_BYTES = 16
# Of a picture that lacks so few bytes, and is small enough to be decoded some times over, ends are tried.
_MAX_CUT, _MAX_TRIED_PIXELS = 2, 4_000_000

Chunk = tuple[bytes, bytes]


def read_webp(data: bytes, limits: ImageLimits) -> Still:
    """The picture of a WebP, or the first frame of an animation.

    The size in the RIFF header and the padding of the last chunk are not looked at: the chunks' own sizes
    count, and libwebp tells whether something is missing of the picture.

    Raises:
        Rejection: the first frame is outside its canvas, or there are more frames than allowed.

    """
    header, profile, exif = b"", None, None
    picture: list[Chunk] = []
    frames = cut = 0
    first: bytes | None = None
    for kind, body, size in _walk(data, 12):
        if kind == b"ANMF":
            first, frames = (body if first is None else first), frames + 1
        elif kind in {b"VP8 ", b"VP8L", b"ALPH"} and not frames:
            picture.append((kind, body))
            cut = size - len(body)
        elif len(body) == size and kind in {b"VP8X", b"ICCP", b"EXIF"}:
            header = header or (body if kind == b"VP8X" else b"")
            profile = profile or (body if kind == b"ICCP" else None)
            exif = exif or (body if kind == b"EXIF" else None)
        if frames > limits.max_frames:
            raise Rejection(
                RejectionReason.IMAGE_TOO_MANY_FRAMES,
                f"{frames} frames or more are beyond the limit of {limits.max_frames}",
            )
    return _still(header, picture, cut, first, frames, exif, Colours(icc=profile))


def _still(
    header: bytes,
    picture: list[Chunk],
    cut: int,
    frame: bytes | None,
    frames: int,
    exif: bytes | None,
    colours: Colours,
) -> Still:
    canvas = size = _size(header[4:10]) if len(header) >= 10 else None
    offset, flags = (0, 0), header[0] if header else 0
    if frame is not None and canvas is not None and flags & _ANIMATED and len(frame) >= 16:
        size = _size(frame[6:12])
        offset = (2 * _u24(frame[0:3]), 2 * _u24(frame[3:6]))
        picture = [(kind, body) for kind, body, _ in _walk(frame, 16)]
        cut = 0
        if offset[0] + size[0] > canvas[0] or offset[1] + size[1] > canvas[1]:
            raise Rejection(RejectionReason.IMAGE_CORRUPT, "a WebP whose first frame is outside its canvas")
    if size is not None:
        extended = struct.pack("<B3x", flags & _ALPHA) + _b24(size[0] - 1) + _b24(size[1] - 1)
        picture = [(b"VP8X", extended), *picture]
    ends: tuple[bytes, ...] = ()
    if 0 < cut <= _MAX_CUT and (size is None or size[0] * size[1] <= _MAX_TRIED_PIXELS):
        # Not all of them decode: after its last pixel a lossless picture must not end in half a code.
        ends = tuple(_file(picture, bytes([value]) * cut) for value in range(0, 256, 17))
    return Still(
        _file(picture, b""),
        canvas,
        offset,
        max(1, frames),
        exif,
        colours,
        pixel_bytes=_PIXEL_BYTES,
        ends=ends,
    )


def _file(picture: list[Chunk], end: bytes) -> bytes:
    """A WebP of these chunks, the last one with `end` behind it."""
    *others, (kind, body) = picture or [(b"VP8 ", b"")]
    chunks = b"".join(
        kind + struct.pack("<I", len(said)) + said + b"\0" * (len(said) & 1)
        for kind, said in (*others, (kind, body + end))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _walk(data: bytes, at: int) -> Iterator[tuple[bytes, bytes, int]]:
    """(type, body, the size that the body should have) of the chunks from `at` on."""
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        yield data[at : at + 4], body, size
        at += 8 + size + (size & 1)


def _u24(said: bytes) -> int:
    return int.from_bytes(said, "little")


def _b24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _size(said: bytes) -> tuple[int, int]:
    return _u24(said[:3]) + 1, _u24(said[3:6]) + 1
