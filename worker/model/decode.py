"""Decode: image bytes to the uint8 pixels that the graphs take.

The header is judged before a pixel is decoded. Training uses this same function, so that it
sees the same pixels as serving.
"""

import io
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from operator import ge

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.pixel_budget import PixelBudget

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "AVIF")
# MPO is a JPEG with a preview behind it: its frames are not an animation.
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}
# Pillow's JPEG plugin opens MPO; asked for by name, it is no plugin and Pillow raises KeyError.
_OPENED_BY_NAME = tuple(name for name in FORMATS if name != "MPO")

# ImageLimits judges the header instead, and refuses where Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None

# EXIF tag 0x0112 to the operation that turns the image upright.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = {5, 6, 7, 8}

# Before the last, smooth step an image is averaged down to this many times the target's sides.
_REDUCING_GAP = 2.0


@dataclass(frozen=True)
class ImageLimits:
    """What an image may cost to decode."""

    max_pixels: int = 50_000_000
    max_frames: int = 100
    min_side: int = 8


@dataclass(frozen=True)
class DecodedImage:
    """Pixels for the graphs: uint8 RGB of shape [height, width, 3]; the sides are the original's.

    `luminance`, where asked for, is uint8 [rows, columns] of the image's own aspect ratio, not turned.
    """

    pixels: NDArray[np.uint8]
    original_width: int
    original_height: int
    format: str
    luminance: NDArray[np.uint8] | None = None


def decode(
    data: bytes,
    height: int,
    width: int,
    limits: ImageLimits,
    room: PixelBudget | None = None,
    luminance_side: int | None = None,
) -> DecodedImage:
    """Decode, turn upright (EXIF), lay over white, and stretch to `height` x `width`.

    With `luminance_side` the luminance too, its longer side at most so long, and never under three
    quarters of that unless the image is; the pixels are the same with and without it. Of an animation
    the first frame is used. Thread-safe; Pillow releases the GIL in its decoders. Where there is `room`,
    it is taken while full-size pixels are held.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.

    """
    if not data:
        raise Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes")
    image = _open(data)
    with image:
        _judge_header(image, limits)
        original_width, original_height = image.size
        try:
            fitted = None if luminance_side is None else _fitted(image.size, luminance_side)
            small, luminance = _upright_rgb(image, height, width, fitted, room)
            if fitted is not None and luminance is None:
                luminance = _luminance_of_jpeg(data, fitted, room)
        except MemoryError:
            raise
        except Exception as error:
            raise Rejection(
                RejectionReason.IMAGE_CORRUPT, f"{image.format} of {len(data)} bytes does not decode: {error}"
            ) from error
        return DecodedImage(
            pixels=np.asarray(small, dtype=np.uint8),
            original_width=original_width,
            original_height=original_height,
            format=str(image.format),
            luminance=None if luminance is None else np.asarray(luminance, dtype=np.uint8),
        )


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_OPENED_BY_NAME)
    except UnidentifiedImageError:
        head = data[:16].decode("ascii", "backslashreplace")
        raise Rejection(
            RejectionReason.IMAGE_NOT_AN_IMAGE,
            f"{len(data)} bytes beginning {head!r} are none of {', '.join(FORMATS)}",
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, f"the image header is damaged: {error}") from error


def _judge_header(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise Rejection(
            RejectionReason.IMAGE_TOO_MANY_PIXELS,
            f"{width} x {height} pixels are more than the limit of {limits.max_pixels}",
        )
    if min(width, height) < limits.min_side:
        raise Rejection(
            RejectionReason.IMAGE_TOO_SMALL,
            f"{width} x {height} pixels: the shorter side is under {limits.min_side}",
        )
    if image.format not in _ANIMATED:
        return
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception as error:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, f"the frames cannot be counted: {error}") from error
    if frames > limits.max_frames:
        raise Rejection(
            RejectionReason.IMAGE_TOO_MANY_FRAMES,
            f"{frames} frames are more than the limit of {limits.max_frames}",
        )


def _upright_rgb(
    image: Image.Image, height: int, width: int, fitted: tuple[int, int] | None, room: PixelBudget | None
) -> tuple[Image.Image, Image.Image | None]:
    """The pixels of height x width, and the luminance within `fitted` where the decoded scale allows it."""
    orientation = _orientation(image)
    target = (height, width) if orientation in _SWAPS_SIDES else (width, height)
    # A JPEG is decoded at the smallest scale that still has twice the target's sides.
    image.draft("RGB", (2 * target[0], 2 * target[1]))
    with nullcontext() if room is None else room.taken(image.width * image.height):
        image.load()
        small = _rgb(image, target).resize(target, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
        enough = fitted is not None and all(map(ge, image.size, _least(fitted)))
        luminance = _luminance(image, fitted) if fitted is not None and enough else None
    return small.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else small, luminance


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """`size` with its aspect ratio, the longer side at most `side`."""
    share = min(1.0, side / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _least(fitted: tuple[int, int]) -> tuple[int, int]:
    """How far a luminance may fall short of `fitted`: a JPEG decoded at such a scale needs no resizing."""
    return fitted[0] * 3 // 4, fitted[1] * 3 // 4


def _luminance(image: Image.Image, fitted: tuple[int, int]) -> Image.Image:
    plain = image.mode in {"L", "RGB"} and not image.has_transparency_data
    grey = (image if plain else _rgb(image, fitted)).convert("L")
    if grey.width > fitted[0] or grey.height > fitted[1]:
        grey = grey.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return grey


def _luminance_of_jpeg(data: bytes, fitted: tuple[int, int], room: PixelBudget | None) -> Image.Image:
    """The luminance of a JPEG whose pixels for the graphs came at too small a scale.

    Decoded once more, without its colours: one decode at the larger scale would give the graphs other
    pixels than training saw, so that a verdict would depend on whether codes are read.
    """
    with _open(data) as image:
        image.draft("L", _least(fitted))
        with nullcontext() if room is None else room.taken(image.width * image.height):
            image.load()
            return _luminance(image, fitted)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF does not make the pixels unusable
        return 1


def _rgb(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        return Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = image if image.mode == "RGBA" else image.convert("RGBA")
        # As resize() does first with other images: laid over white at full size it would take 1 GB.
        over = over.reduce(
            (
                int(over.width / target[0] / _REDUCING_GAP) or 1,
                int(over.height / target[1] / _REDUCING_GAP) or 1,
            )
        )
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")
