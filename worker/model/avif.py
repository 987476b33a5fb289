"""AVIF (AV1 Image File Format): its AV1 streams judged beside the container, which may say another size.

The container says 64 x 64, the stream in it is decoded at 12,000 x 12,000: so both must fit.
"""

import re
from collections.abc import Iterator

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.colour import Colours
from worker.model.still import ImageLimits, Still

# Planes as decoded and as RGBA, and the bytes handed over, at the stream's size; then Pillow's image.
_STREAM_PIXEL_BYTES, _PIXEL_BYTES = 12, 4

# ISO/IEC 14496-12: where items and samples lie. Looked for anywhere, so that no box hides another.
_PLACES = re.compile(rb"iloc|stco|co64")
MAX_STREAMS = 10_000
# AV1 specification, section 6.2.2
_SEQUENCE_HEADER = 1
_COLOUR = b"colrnclx"


def read_avif(data: bytes, limits: ImageLimits) -> Still:
    """The picture of an AVIF.

    Raises:
        Rejection: an AV1 stream in it is larger than `limits`, or there are more than `MAX_STREAMS`.

    """
    pixels = 0
    if data[4:8] == b"ftyp":
        for number, start in enumerate(_streams(data)):
            if number >= MAX_STREAMS:
                raise Rejection(RejectionReason.IMAGE_TOO_COSTLY, f"an AVIF of more than {MAX_STREAMS} items")
            pixels = max(pixels, _judged_pixels(data, start, limits))
    at = data.find(_COLOUR) + len(_COLOUR)
    said = data[at : at + 4] if at >= len(_COLOUR) else b""
    # 2 is "unspecified".
    cicp = (said[1], said[3]) if len(said) == 4 and 2 not in {said[1], said[3]} else None
    return Still(
        data, colours=Colours(cicp=cicp), pixel_bytes=_PIXEL_BYTES, extra_bytes=pixels * _STREAM_PIXEL_BYTES
    )


def _streams(data: bytes) -> Iterator[int]:
    """Where the container's items, and the samples of its tracks, may begin."""
    for found in _PLACES.finditer(data):
        at = found.end()
        if found.group() == b"iloc":
            yield from _items(data, at)
        else:
            size = 4 if found.group() == b"stco" else 8
            for entry in range(min(_number(data, at + 4, 4), MAX_STREAMS)):
                yield _number(data, at + 8 + entry * size, size)


def _items(data: bytes, at: int) -> Iterator[int]:
    """The offsets of an ItemLocationBox (ISO/IEC 14496-12, section 8.11.3)."""
    version = _number(data, at, 1)
    sizes = _number(data, at + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_size = index_size if version else 0
    wide = 4 if version == 2 else 2
    items, at = _number(data, at + 6, wide), at + 6 + wide
    for _ in range(min(items, MAX_STREAMS)):
        at += wide + (2 if version else 0) + 2
        base = _number(data, at, base_size)
        extents, at = _number(data, at + base_size, 2), at + base_size + 2
        for _ in range(min(extents, MAX_STREAMS)):
            at += index_size
            yield base + _number(data, at, offset_size)
            at += offset_size + length_size
        if at > len(data):
            return


def _judged_pixels(data: bytes, at: int, limits: ImageLimits) -> int:
    """The pixels of the largest sequence in the open bitstream units that begin at `at`, within `limits`."""
    largest = 0
    while at + 2 <= len(data):
        header = data[at]
        if header & 0x82 != 2:  # forbidden bit, or no size: not a stream as AVIF has them
            break
        at += 2 if header & 4 else 1
        size, at = _leb128(data, at)
        if header >> 3 == _SEQUENCE_HEADER:
            sides = _frame_size(data[at : at + 256])
            largest = max(largest, limits.judge_pixels(*sides, what="an AV1 stream"))
        at += size
    return largest


class _Bits:
    """Bits of `data`, the highest first; 0 past its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def __call__(self, count: int) -> int:
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)


def _frame_size(payload: bytes) -> tuple[int, int]:
    """The largest frame's width and height of a sequence header (AV1 specification, section 5.5.1)."""
    bits = _Bits(payload)
    bits(4)
    if bits(1):  # reduced_still_picture_header
        bits(5)
    else:
        _operating_points(bits)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    return bits(width_bits) + 1, bits(height_bits) + 1


def _operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits(1):  # timing_info_present_flag
        bits(64)
        if bits(1):
            _skip_uvlc(bits)
        if bits(1):  # decoder_model_info_present_flag
            delay_bits = bits(5) + 1
            bits(42)
    has_display_delay = bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)
        if delay_bits and bits(1):
            bits(2 * delay_bits + 1)
        if has_display_delay and bits(1):
            bits(4)


def _skip_uvlc(bits: _Bits) -> None:
    zeros = 0
    while zeros < 32 and not bits(1):
        zeros += 1
    if zeros < 32:
        bits(zeros)


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of the AV1 specification's section 4.10.5, and where it ends."""
    value = 0
    for number, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << (7 * number)
        if not byte & 0x80:
            return value, at + number + 1
    return len(data), at + 8


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
