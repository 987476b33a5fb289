"""Codes: the QR codes and their kin in an image, with what they say and how much of it they cover.

An optional stage: a filter sees that an image is a code, but not whether a code is the image (a poster)
or lies in it (a package, a label). Reads by zxing-cpp (github.com/zxing-cpp/zxing-cpp), which releases
the GIL while it searches, so that the stage runs beside others in the threads that prepare events.
"""

import unicodedata
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.events import Code
from worker.errors import ConfigurationError, StageError
from worker.settings import CodeSettings

# A sheet of labels can hold hundreds; a verdict tells of the largest.
_MOST_CODES = 16

_CONTROL_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = 0x7F, "\u2421"
_REPLACEMENT = "\ufffd"
# Other than C0: C1, formats (bidirectional overrides, zero width), surrogates, private and unassigned
# ones, line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class CodeReader:
    """Looks for the formats of `settings`. Thread-safe."""

    def __init__(self, settings: CodeSettings) -> None:
        """Load the library.

        Raises:
            ConfigurationError: it is not installed.

        """
        self.max_side = settings.max_side
        self._payload_limit = settings.payload_limit
        self._library = _library()
        self._formats = tuple(getattr(self._library.BarcodeFormat, name) for name in settings.formats)

    def __call__(self, luminance: NDArray[np.uint8]) -> list[Code]:
        """The codes in `luminance`, uint8 of shape [height, width]: the largest first, and at most 16.

        Empty where nothing is read. The time is bounded by the number of pixels: docs/operations.md
        has the worst found.

        Raises:
            StageError: the library failed, whatever the image holds.

        """
        height, width = luminance.shape
        try:
            found = self._library.read_barcodes(
                np.ascontiguousarray(luminance),
                formats=self._formats,
                text_mode=self._library.TextMode.Plain,
            )
            codes = [self._code(barcode, height * width) for barcode in found]
        except Exception as error:
            raise StageError(f"reading codes in {width} x {height} pixels failed: {error}") from error
        return sorted(codes, key=lambda code: -code.area_share)[:_MOST_CODES]

    def _code(self, barcode: Any, pixels: int) -> Code:
        corners = barcode.position
        area = quadrilateral_area(
            (corner.x, corner.y)
            for corner in (
                corners.top_left,
                corners.top_right,
                corners.bottom_right,
                corners.bottom_left,
            )
        )
        text = self._text(barcode)
        return Code(
            format=barcode.format.name,
            payload=None if text is None else visible(text, self._payload_limit),
            area_share=round(min(1.0, area / pixels), 6),
        )

    def _text(self, barcode: Any) -> str | None:
        """What the code says, if it is text.

        To the library text with a control character is binary: text is also what is whole UTF-8.
        """
        if barcode.content_type not in {
            self._library.ContentType.Binary,
            self._library.ContentType.UnknownECI,
            self._library.ContentType.Mixed,
        }:
            return str(barcode.text)
        try:
            return bytes(barcode.bytes).decode("utf-8")
        except UnicodeDecodeError:
            return None


def quadrilateral_area(corners: Iterable[tuple[float, float]]) -> float:
    """The area within `corners`, in order around it (the shoelace formula)."""
    points = list(corners)
    following = points[1:] + points[:1]
    return abs(sum(x * b - a * y for (x, y), (a, b) in zip(points, following, strict=True))) / 2


def visible(text: str, limit: int) -> str:
    """The first `limit` characters, none of which moves a cursor, hides, or turns the text around.

    C0 controls become Unicode's control pictures, one for one; what else is not to be seen, U+FFFD.
    """
    return "".join(_visible(character) for character in text[:limit])


def _visible(character: str) -> str:
    number = ord(character)
    if number < 0x20:
        return chr(_CONTROL_PICTURES + number)
    if number == _DELETE:
        return _DELETE_PICTURE
    return _REPLACEMENT if unicodedata.category(character) in _UNSEEN else character


def _library() -> ModuleType:
    try:
        import zxingcpp  # noqa: PLC0415 - an extra: needed only where codes are read
    except ImportError as error:
        raise ConfigurationError(
            f"codes.enabled is true, but zxing-cpp cannot be loaded ({error}): install mekiki[codes], or set "
            "codes.enabled to false"
        ) from error
    library: ModuleType = zxingcpp
    return library
