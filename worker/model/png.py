"""PNG (W3C, third edition): its chunks judged, and the picture that is shown taken out of them.

Chunks that give no pixels are passed over unread, so that neither a wrong checksum nor a long text in
them matters. Of an APNG the first frame of the animation is taken, which need not be the default image.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.colour import MAX_PROFILE_BYTES, Chromaticities, Colours
from worker.model.still import ImageLimits, Still

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 100_000
# Beside pixel data: editors write some tens.
MAX_OTHER_CHUNKS = 1_000

# Section 4.3: what says something of colours, the first of its kind counts.
_COLOUR = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP"}
_CRITICAL = {b"IHDR", b"PLTE"}
_WANTED = _COLOUR | _CRITICAL | {b"tRNS", b"eXIf", b"acTL", b"fcTL"}


@dataclass
class _Chunks:
    """What the chunks of a file say, as far as it concerns the picture that is shown."""

    first: dict[bytes, bytes] = field(default_factory=dict)
    default_image: list[bytes] = field(default_factory=list)
    frame: list[bytes] = field(default_factory=list)
    control: bytes | None = None
    default_is_frame: bool = False


def read_png(data: bytes, limits: ImageLimits) -> Still:
    """The picture of a PNG, or the first frame that an APNG plays.

    Raises:
        Rejection: damaged before its pixels, or with more chunks or frames than allowed.

    """
    chunks = _read(data)
    header = chunks.first.get(b"IHDR", b"")
    if len(header) != 13:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, "a PNG whose first chunk is no IHDR of 13 bytes")
    frames = _frames(chunks)
    if frames > limits.max_frames:
        raise Rejection(
            RejectionReason.IMAGE_TOO_MANY_FRAMES,
            f"{frames} frames are more than the limit of {limits.max_frames}",
        )
    canvas, offset, pixels = struct.unpack(">II", header[:8]), (0, 0), chunks.default_image
    if frames > 1 and not chunks.default_is_frame and chunks.control is not None and chunks.frame:
        width, height, *offset_ = struct.unpack(">4I", chunks.control[4:20])
        offset, pixels = (offset_[0], offset_[1]), chunks.frame
        if not width or not height or offset[0] + width > canvas[0] or offset[1] + height > canvas[1]:
            raise Rejection(RejectionReason.IMAGE_CORRUPT, "an APNG whose first frame is outside its canvas")
        header = struct.pack(">II", width, height) + header[8:]
    return Still(
        _file(header, chunks.first, pixels),
        canvas=(canvas[0], canvas[1]),
        offset=offset,
        frames=frames,
        exif=chunks.first.get(b"eXIf"),
        colours=_colours(chunks.first),
        pixel_bytes=8,
    )


def _walk(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the chunks' data; the last may be cut."""
    at, size = len(SIGNATURE), len(data)
    while at + 8 <= size:
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, min(at + 8 + length, size)
        at += 12 + length


def _read(data: bytes) -> _Chunks:
    chunks = _Chunks()
    others = 0
    for number, (kind, start, end) in enumerate(_walk(data)):
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            chunks.default_image.append(data[start:end])
        elif kind == b"fdAT" and chunks.control is not None and not chunks.default_is_frame:
            chunks.frame.append(data[start + 4 : end])
        elif kind == b"fcTL" and chunks.frame:
            break  # the first frame is complete
        elif kind != b"fdAT":
            others += 1
        if others > MAX_OTHER_CHUNKS or number >= MAX_CHUNKS:
            raise Rejection(
                RejectionReason.IMAGE_TOO_COSTLY,
                f"a PNG of more than {MAX_OTHER_CHUNKS} chunks beside its pixels, or {MAX_CHUNKS} in all",
            )
        if kind in _WANTED:
            _take(chunks, kind, data, start, end)
    return chunks


def _take(chunks: _Chunks, kind: bytes, data: bytes, start: int, end: int) -> None:
    body = data[start:end]
    if int.from_bytes(data[end : end + 4], "big") != zlib.crc32(body, zlib.crc32(kind)):
        if kind in _CRITICAL:
            raise Rejection(
                RejectionReason.IMAGE_CORRUPT, f"a PNG whose {kind.decode()} chunk has a wrong checksum"
            )
        return  # section 13.1: an ancillary chunk may be discarded
    after_pixels = bool(chunks.default_image)
    if kind == b"fcTL":
        if len(body) == 26 and chunks.control is None and b"acTL" in chunks.first:
            chunks.control, chunks.default_is_frame = body, not after_pixels
    elif kind == b"eXIf" or not after_pixels:  # section 5.6: all others come before IDAT
        chunks.first.setdefault(kind, body)


def _frames(chunks: _Chunks) -> int:
    """How many frames there are, the default image included; 1 for a PNG that is not animated."""
    said = chunks.first.get(b"acTL", b"")
    if len(said) < 8 or chunks.control is None:
        return 1
    return int.from_bytes(said[:4], "big") + (not chunks.default_is_frame)


def _colours(first: dict[bytes, bytes]) -> Colours:
    """Section 4.3: cICP, then iCCP, then sRGB, then gAMA and cHRM."""
    if len(cicp := first.get(b"cICP", b"")) == 4:
        return Colours(cicp=(cicp[0], cicp[1]))
    if (profile := _profile(first.get(b"iCCP", b""))) is not None:
        return Colours(icc=profile)
    if b"sRGB" in first:
        return Colours()
    gamma = int.from_bytes(first.get(b"gAMA", b"")[:4], "big") / 100_000
    chromaticities = None
    if len(said := first.get(b"cHRM", b"")) == 32:
        chromaticities = Chromaticities(*(value / 100_000 for value in struct.unpack(">8I", said)))
    return Colours(gamma=gamma or None, chromaticities=chromaticities)


def _profile(chunk: bytes) -> bytes | None:
    """The profile of an iCCP chunk (section 11.3.2.3), None where it cannot be unpacked or is too long."""
    _, _, packed = chunk.partition(b"\0")
    if packed[:1] != b"\0":
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def _file(header: bytes, first: dict[bytes, bytes], pixels: list[bytes]) -> bytes:
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if b"PLTE" in first:
        parts.append(_chunk(b"PLTE", first[b"PLTE"]))
    if b"tRNS" in first:
        parts.append(_chunk(b"tRNS", _transparency(header, first[b"tRNS"])))
    if pixels:
        parts.append(_chunk(b"IDAT", b"".join(pixels)))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _transparency(header: bytes, said: bytes) -> bytes:
    """A tRNS chunk in the values that Pillow decodes to: it widens 2 and 4 bits, and cuts RGB of 16."""
    depth, colour_type = header[8], header[9]
    if colour_type == 0 and depth in {2, 4} and len(said) >= 2:
        value = int.from_bytes(said[:2], "big") & (2**depth - 1)
        return struct.pack(">H", value * (85 if depth == 2 else 17))
    if colour_type == 2 and depth == 16 and len(said) >= 6:
        return struct.pack(">3H", said[0], said[2], said[4])
    return said


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join(
        (struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))
    )
