"""GIF (GIF89a specification): its first frame, as a file of its own."""

import struct

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.still import ImageLimits, Still

_EXTENSION, _IMAGE = 0x21, 0x2C
_GRAPHIC_CONTROL = 0xF9


def read_gif(data: bytes, limits: ImageLimits) -> Still:
    """The first frame of a GIF. Later ones are counted up to the limit and may be damaged.

    The canvas is the logical screen, widened where the first frame reaches beyond it, as browsers do.

    Raises:
        Rejection: no frame, or more than allowed.

    """
    if len(data) < 13:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, "a GIF that ends in its header")
    screen = struct.unpack("<HH", data[6:10])
    at = 13 + _table_bytes(data[10])
    table = data[13:at]
    found, control = _next_image(data, at)
    if found is None or found + 11 > len(data):
        raise Rejection(RejectionReason.IMAGE_CORRUPT, "a GIF without a frame")
    at = found
    left, top, width, height, packed = struct.unpack("<4HB", data[at + 1 : at + 10])
    begin = at + 10 + _table_bytes(packed)
    end = _past_blocks(data, begin + 1)
    frames = _count(data, end, limits.max_frames)
    if frames > limits.max_frames:
        raise Rejection(
            RejectionReason.IMAGE_TOO_MANY_FRAMES,
            f"{frames} frames or more are beyond the limit of {limits.max_frames}",
        )
    alone = b"".join((
        data[:6], struct.pack("<HH", width, height), data[10:13], table, control,
        struct.pack("<B4HB", _IMAGE, 0, 0, width, height, packed), data[at + 10 : end], b";",
    ))  # fmt: skip
    canvas = (max(screen[0], left + width), max(screen[1], top + height))
    return Still(alone, canvas, (left, top), frames, pixel_bytes=9)


def _table_bytes(packed: int) -> int:
    """The bytes of the colour table that a packed field announces."""
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _next_image(data: bytes, at: int) -> tuple[int | None, bytes]:
    """Where the next image descriptor is, None at the end, and the graphic control extension before it."""
    control = b""
    while at < len(data):
        if data[at] == _IMAGE:
            return at, control
        if data[at] == _EXTENSION:
            end = _past_blocks(data, at + 2)
            if data[at + 1 : at + 2] == bytes([_GRAPHIC_CONTROL]):
                control = data[at:end]
            at = end
        elif data[at] == 0:
            at += 1  # a block terminator too many
        else:
            break
    return None, control


def _past_blocks(data: bytes, at: int) -> int:
    """Past the sub-blocks that begin at `at`, and no further than the end of `data`."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


def _count(data: bytes, at: int, most: int) -> int:
    """How many frames there are, the first included; one more than `most` stands for any number."""
    frames = 1
    while frames <= most:
        found, _ = _next_image(data, at)
        if found is None or found + 11 > len(data):
            break
        frames += 1
        at = _past_blocks(data, found + 11 + _table_bytes(data[found + 9]))
    return frames
