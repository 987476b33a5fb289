"""Optional formats: HEIC, TIFF and JPEG XL, which browsers do not show, and phones and cameras write.

Off unless `decode.formats` names them. Their decoders turn the picture themselves, so that EXIF is not asked.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, Rejection
from worker.model.still import ImageLimits, Still

OptionalFormat = Literal["heic", "tiff", "jxl"]

# ISO/IEC 23008-12, annex B: brands of images coded by HEVC, one or several; mif1 and msf1 leave it open.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_OPEN_BRANDS = {b"mif1", b"msf1"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JXL_CODESTREAM, _JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"

# Planes as decoded, as RGBA of up to 16 bits, and Pillow's image.
_PIXEL_BYTES = 16
MAX_ITEMS = 10_000


def optional_format(data: bytes) -> OptionalFormat | None:
    """Which of them `data` begins as."""
    if data[4:8] == b"ftyp":
        end = int.from_bytes(data[:4], "big")
        brands = {data[at : at + 4] for at in (8, *range(16, min(end, 256), 4))}
        is_heic = data[8:12] in _HEIC_BRANDS or (data[8:12] in _OPEN_BRANDS and bool(brands & _HEIC_BRANDS))
        return "heic" if is_heic and not brands & {b"avif", b"avis"} else None
    if data.startswith(_TIFF):
        return "tiff"
    return "jxl" if data.startswith((_JXL_CODESTREAM, _JXL_CONTAINER)) else None


def read_optional(data: bytes, limits: ImageLimits, name: OptionalFormat) -> Still:
    """The picture of a file of one of these formats.

    Raises:
        Rejection: the format is not taken, or the file is beyond `limits`.

    """
    if name not in limits.formats:
        raise Rejection(
            RejectionReason.IMAGE_NOT_AN_IMAGE,
            f"{len(data)} bytes are {_FORMATS[name].title}, which this worker does not take: decode.formats",
        )
    load_format(name)
    return _FORMATS[name].read(data, limits)


def pillow_formats(data: bytes, plain: tuple[str, ...]) -> tuple[str, ...]:
    """The names by which Pillow may open `data`: an optional format's own, or `plain`."""
    name = optional_format(data)
    return plain if name is None else (_FORMATS[name].pillow,)


def pillow_name(name: OptionalFormat) -> str:
    """What Pillow calls a format."""
    return _FORMATS[name].pillow


def load_format(name: OptionalFormat) -> None:
    """Make Pillow open a format; its package is there (`require`)."""
    importlib.import_module(_FORMATS[name].module)
    _FORMATS[name].register()


def require(names: Iterable[OptionalFormat]) -> None:
    """See that the packages of formats are there.

    Raises:
        ConfigurationError: one is not.

    """
    for name in names:
        if importlib.util.find_spec(_FORMATS[name].module) is None:
            raise ConfigurationError(
                f"decode.formats names {name}, whose decoder is not installed: pip install 'mekiki[formats]'"
            )


def _register_heic() -> None:
    from pillow_heif import register_heif_opener  # noqa: PLC0415 - an optional package

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def _register_jxl() -> None:
    from pillow_jxl import JpegXLImagePlugin  # noqa: PLC0415 - an optional package

    JpegXLImagePlugin.DECODE_THREADS = 1


def _read_heic(data: bytes, limits: ImageLimits) -> Still:
    """Every ImageSpatialExtentsProperty is judged, whichever picture it belongs to."""
    most = 0
    for number, found in enumerate(re.finditer(rb"ispe", data)):
        if number >= MAX_ITEMS:
            raise Rejection(RejectionReason.IMAGE_TOO_COSTLY, f"a HEIC of more than {MAX_ITEMS} items")
        at = found.end() + 4
        width, height = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (0, 4))
        most = max(most, limits.judge_pixels(width, height))
    return Still(data, extra_bytes=most * _PIXEL_BYTES)


def _read_tiff(data: bytes, _limits: ImageLimits) -> Still:
    return Still(data, pixel_bytes=_PIXEL_BYTES)


def _read_jxl(data: bytes, limits: ImageLimits) -> Still:
    """Pillow's plugin decodes when it opens, so the size is read here first."""
    # Planes are float32, three and alpha, twice.
    return Still(data, extra_bytes=limits.judge_pixels(*_jxl_size(data)) * 2 * _PIXEL_BYTES)


# ISO/IEC 18181-1, SizeHeader: width by height where a ratio is said.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_LENGTHS = (9, 13, 18, 30)


def _jxl_size(data: bytes) -> tuple[int, int]:
    at = _codestream(data) if data.startswith(_JXL_CONTAINER) else 0
    if data[at : at + 2] != _JXL_CODESTREAM:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, "a JPEG XL whose codestream is damaged")
    bits = _Bits(int.from_bytes(data[at + 2 : at + 14], "little"))
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.take(_LENGTHS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio]
        return height * over // under, height
    return (8 * (bits.take(5) + 1) if small else bits.take(_LENGTHS[bits.take(2)]) + 1), height


def _codestream(data: bytes) -> int:
    """Where a container's codestream begins: in a box of its own, or in parts, each behind four bytes."""
    at = len(_JXL_CONTAINER)
    while at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind in {b"jxlc", b"jxlp"}:
            return at + head + (4 if kind == b"jxlp" else 0)
        if size < head:  # 0 is to the end of the file
            break
        at += size
    raise Rejection(RejectionReason.IMAGE_CORRUPT, "a JPEG XL without a codestream")


@dataclass
class _Bits:
    """Numbers of some bits each, the lowest bit first."""

    left: int

    def take(self, count: int) -> int:
        taken = self.left & ((1 << count) - 1)
        self.left >>= count
        return taken


@dataclass(frozen=True)
class _Format:
    title: str
    pillow: str
    module: str
    read: Callable[[bytes, ImageLimits], Still]
    register: Callable[[], None] = lambda: None


_FORMATS: dict[OptionalFormat, _Format] = {
    "heic": _Format("HEIC", "HEIF", "pillow_heif", _read_heic, _register_heic),
    "tiff": _Format("TIFF", "TIFF", "PIL.TiffImagePlugin", _read_tiff),
    "jxl": _Format("JPEG XL", "JXL", "pillow_jxl", _read_jxl, _register_jxl),
}
