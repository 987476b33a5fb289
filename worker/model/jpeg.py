"""JPEG (ITU-T T.81): its segments judged and thinned out before a decoder sees them.

What is neither needed for the pixels nor for their colours is left out, so that no parser of Exif,
Photoshop or multi-picture data is run on it.
"""

import re
import struct
from dataclasses import dataclass

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.colour import Colours
from worker.model.still import Still

# T.81 table B.1. Stand-alone markers have no length: TEM, RST0 to RST7, SOI, EOI.
_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_ALONE = {0x01, *range(0xD0, 0xDA)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# JFIF and Adobe say how components become colours; other application data does not reach the decoder.
_KEPT_APPLICATIONS = {0xE0, 0xEE}
_EXIF, _ICC = b"Exif\0", b"ICC_PROFILE\0"

MAX_SEGMENTS = 1_000
MAX_SCANS = 100

# In a scan's data FF is followed by 00 (a byte FF), a restart marker or more fill; all else ends it.
_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_FEW_ZEROS = 8
# Ends a scan that ends too soon: bits that say something else than the zeros which libjpeg makes up.
_OTHER_BITS = bytes((37 * i + 90) % 251 for i in range(4096))


@dataclass(frozen=True)
class _Segment:
    marker: int
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        return data[self.start + 4 : self.end]


def read_jpeg(data: bytes) -> Still:
    """The picture of a JPEG, or of the first one in a multi-picture file.

    Raises:
        Rejection: more segments or scans than `MAX_SEGMENTS`, `MAX_SCANS`.

    """
    segments, scan = _segments(data)
    kept = [data[:2]]
    exif: bytes | None = None
    profile: list[bytes] = []
    coefficients = 0
    for segment in segments:
        if segment.marker in _FRAMES:
            coefficients = _coefficient_bytes(data, segment, scan)
        if segment.marker in _KEPT_APPLICATIONS or not (
            0xE0 <= segment.marker <= 0xEF or segment.marker == _COM
        ):
            kept.append(data[segment.start : segment.end])
        elif segment.marker == 0xE1 and exif is None and segment.body(data).startswith(_EXIF):
            exif = segment.body(data)
        elif segment.marker == 0xE2 and segment.body(data).startswith(_ICC):
            profile.append(segment.body(data)[len(_ICC) :])
    if coefficients:
        _judge_scans(data, scan)
    kept.append(data[scan:])
    return Still(
        b"".join(kept), exif=exif, colours=Colours(icc=_joined(profile)), pixel_bytes=12,
        extra_bytes=coefficients,
    )  # fmt: skip


@dataclass(frozen=True)
class Endings:
    """A JPEG up to the end of its scans, with that end made up.

    A picture that is all there is the same in `one` and `other`; one that lacks a part differs there, since
    what the decoder makes up is another. `shorter` lacks three bytes more: where it is still the same, what
    the file ends with is no part of the picture.
    """

    one: bytes
    other: bytes
    shorter: bytes


def endings(data: bytes) -> list[Endings]:
    """As the file is; then without the zeros at its end, where there are many and no marker behind them.

    An upload that was cut leaves zeros in a file of its full length; but a white ground is zeros too.
    """
    _, at = _segments(data)
    while (found := _MARKER_IN_SCAN.search(data, at)) is not None and data[found.start() + 1] != _EOI:
        at = _past(data, found.start())
    if found is not None:
        return [_ended(data[: found.start()])]
    without = data.rstrip(b"\0")
    return [_ended(data), *([_ended(without)] if len(data) - len(without) > _FEW_ZEROS else [])]


def _ended(scans: bytes) -> Endings:
    scans = scans.rstrip(b"\xff")
    other = _OTHER_BITS + b"\xff\xd9"
    return Endings(scans + b"\xff\xd9", scans + other, scans[:-3] + other)


def _segments(data: bytes) -> tuple[list[_Segment], int]:
    """The segments before the first scan, and where that begins, the file's end if there is none."""
    found: list[_Segment] = []
    at = 2
    while True:
        # As libjpeg and Pillow do: what is between segments is passed over.
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return found, len(data)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0 or marker in _ALONE:
            at += 2
        elif marker == _SOS:
            return found, at
        else:
            end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
            found.append(_Segment(marker, at, end))
            at = end
        if len(found) > MAX_SEGMENTS:
            raise Rejection(
                RejectionReason.IMAGE_TOO_COSTLY,
                f"a JPEG of more than {MAX_SEGMENTS} segments before its scan",
            )


def _coefficient_bytes(data: bytes, frame: _Segment, scan: int) -> int:
    """What libjpeg holds, in bytes, where it must see all scans before it can give a row; else 0."""
    body = frame.body(data)
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or not body[5]:
        return 0
    height, width, components = (int(value) for value in struct.unpack(">HHB", body[1:6]))
    in_first_scan = data[scan + 4] if scan + 4 < len(data) else components
    if frame.marker not in _PROGRESSIVE and in_first_scan >= components:
        return 0
    sampling = [(body[7 + 3 * i] >> 4, body[7 + 3 * i] & 15) for i in range(components)]
    most = max(h for h, _ in sampling) * max(v for _, v in sampling)
    return 2 * width * height * sum(h * v for h, v in sampling) // max(1, most)


def _judge_scans(data: bytes, at: int) -> None:
    scans = 0
    while (found := _MARKER_IN_SCAN.search(data, at)) is not None and data[found.start() + 1] != _EOI:
        scans += data[found.start() + 1] == _SOS
        if scans > MAX_SCANS:
            raise Rejection(RejectionReason.IMAGE_TOO_COSTLY, f"a JPEG of more than {MAX_SCANS} scans")
        at = _past(data, found.start())


def _past(data: bytes, at: int) -> int:
    """Past the marker at `at`, and its segment if it has one."""
    return at + 2 if data[at + 1] in _ALONE else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _joined(parts: list[bytes]) -> bytes | None:
    """A profile out of its numbered parts (ICC.1 annex B.4); None where one is missing."""
    numbered = {part[0]: part[2:] for part in parts if len(part) > 2}
    if not numbered or set(numbered) != set(range(1, parts[0][1] + 1)):
        return None
    return b"".join(numbered[number] for number in sorted(numbered))
