"""Decode: image bytes to the uint8 pixels that the graphs take.

The bytes and the header are judged before a pixel is decoded, and the pixels are those that buyers see.
Training uses this same function, so that it sees the same pixels as serving.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from operator import ge

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.bundle import ImageInput, Measure
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.avif import read_avif
from worker.model.bmp import read_bmp
from worker.model.colour import PLAIN, Colours
from worker.model.detail import DETAIL, detail, middle, reduction
from worker.model.direction import DIFFERENCES, DIRECTIONS, differences, directions
from worker.model.direction import SIDE as DIRECTIONS_SIDE
from worker.model.fit import REDUCING_GAP, fit, least_scale
from worker.model.gif import read_gif
from worker.model.jpeg import read_jpeg
from worker.model.load import FORMATS, loaded, open_image
from worker.model.opaque import to_opaque
from worker.model.optional_formats import optional_format, read_optional
from worker.model.orientation import SWAPS_SIDES, UPRIGHT, orientation_of
from worker.model.pixel_budget import PixelBudget
from worker.model.png import read_png
from worker.model.still import ImageLimits, Still
from worker.model.webp import read_webp

_TURNED_BY_DECODER = {"HEIF", "TIFF", "JXL"}
_PROFILE_BY_PILLOW = {"AVIF", *_TURNED_BY_DECODER}

__all__ = ["FORMATS", "DecodedImage", "ImageLimits", "decode", "decode_inputs"]


@dataclass(frozen=True)
class DecodedImage:
    """Pixels for the graphs, one uint8 RGB array [height, width, 3] for each input asked for, in order.

    The sides are the original's; `measured` is what graphs may ask of it. `luminance`, where asked for, is
    uint8 [rows, columns] of the image's own aspect ratio, not turned.
    """

    sizes: tuple[NDArray[np.uint8], ...]
    original_width: int
    original_height: int
    format: str
    measured: Mapping[Measure, float]
    luminance: NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels of the first input."""
        return self.sizes[0]


def decode(
    data: bytes,
    height: int,
    width: int,
    limits: ImageLimits,
    room: PixelBudget | None = None,
    luminance_side: int | None = None,
) -> DecodedImage:
    """As `decode_inputs`, for one input, stretched to `height` x `width`."""
    return decode_inputs(data, [ImageInput(height=height, width=width)], limits, room, luminance_side)


def decode_inputs(
    data: bytes,
    inputs: Sequence[ImageInput],
    limits: ImageLimits,
    room: PixelBudget | None = None,
    luminance_side: int | None = None,
    *,
    measures: frozenset[Measure] = frozenset(),
) -> DecodedImage:
    """Decode, turn upright (EXIF), lay over white, and make the pixels of every input.

    The pixels of an input are the same whatever other inputs there are, since training saw each alone.

    With `luminance_side` the luminance too, its longer side at most so long, and never under three
    quarters of that unless the image is; the pixels are the same with and without it. `measures` are numbers
    of the full-size luminance (`worker.model.detail`), for which the image is decoded once more. Of an
    animation the frame that a browser shows first is used. Thread-safe; Pillow releases the GIL in its
    decoders. Where there is `room`, it is taken while full-size pixels are held.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.

    """
    if not data:
        raise Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes")
    still = _still(data, limits)
    with open_image(still.data) as image:
        original_width, original_height = size = still.canvas or image.size
        _judge_header(size, _frames(image, still), limits)
        try:
            fitted = None if luminance_side is None else _fitted(size, luminance_side)
            made, luminance = _upright_rgb(image, still, inputs, fitted, room)
            if fitted is not None and luminance is None:
                luminance = _luminance_of_jpeg(still, fitted, room)
            measured: dict[Measure, float] = {
                "width": original_width, "height": original_height, "bytes": len(data)
            }  # fmt: skip
            if measures:
                measured |= _detail(still, measures, room)
        except (MemoryError, Rejection):
            raise
        except Exception as error:
            raise Rejection(
                RejectionReason.IMAGE_CORRUPT, f"{image.format} of {len(data)} bytes does not decode: {error}"
            ) from error
        return DecodedImage(
            sizes=tuple(np.asarray(made[wanted], dtype=np.uint8) for wanted in inputs),
            original_width=original_width,
            original_height=original_height,
            format=str(image.format),
            measured=measured,
            luminance=None if luminance is None else np.asarray(luminance, dtype=np.uint8),
        )


def _still(data: bytes, limits: ImageLimits) -> Still:
    """The picture of `data`, by the bytes that each format begins with."""
    for beginning, read in _READERS.items():
        if data.startswith(beginning) and (beginning != b"RIFF" or data[8:12] == b"WEBP"):
            return read(data, limits)
    if (name := optional_format(data)) is not None:
        return read_optional(data, limits, name)
    return read_avif(data, limits)  # or none of them, which Pillow says


_READERS: dict[bytes, Callable[[bytes, ImageLimits], Still]] = {
    b"\xff\xd8\xff": lambda data, _: read_jpeg(data),
    b"\x89PNG\r\n\x1a\n": read_png,
    b"GIF87a": read_gif,
    b"GIF89a": read_gif,
    b"RIFF": read_webp,
    b"BM": lambda data, _: read_bmp(data),
}


def _frames(image: Image.Image, still: Still) -> int:
    """How many frames there are; of an AVIF Pillow has counted them already."""
    return int(getattr(image, "n_frames", 1)) if image.format == "AVIF" else still.frames


def _judge_header(size: tuple[int, int], frames: int, limits: ImageLimits) -> None:
    width, height = size
    limits.judge_pixels(width, height)
    if min(width, height) < limits.min_side:
        raise Rejection(
            RejectionReason.IMAGE_TOO_SMALL,
            f"{width} x {height} pixels: the shorter side is under {limits.min_side}",
        )
    if frames > limits.max_frames:
        raise Rejection(
            RejectionReason.IMAGE_TOO_MANY_FRAMES,
            f"{frames} frames are more than the limit of {limits.max_frames}",
        )


def _upright_rgb(
    image: Image.Image,
    still: Still,
    inputs: Sequence[ImageInput],
    fitted: tuple[int, int] | None,
    room: PixelBudget | None,
) -> tuple[dict[ImageInput, Image.Image], Image.Image | None]:
    """The pixels of every input, and the luminance within `fitted` where a decoded scale allows it."""
    orientation, size = _orientation(image, still), still.canvas or image.size
    swapped = orientation in SWAPS_SIDES
    made: dict[ImageInput, Image.Image] = {}
    luminance: Image.Image | None = None
    for scale, wanted in _by_scale(image, still, inputs, swapped).items():
        with nullcontext(image) if not made else open_image(still.data) as opened:
            opened.draft("RGB", scale)
            with nullcontext() if room is None else room.taken(_held_bytes(opened, still)):
                decoded = loaded(opened, still)
                to_rgb = partial(to_opaque, decoded, colours=_colours(opened, still))
                for one in wanted:
                    small = fit(to_rgb, one, size, swapped=swapped)
                    made[one] = small.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else small
                enough = fitted is not None and all(map(ge, decoded.size, _least(fitted)))
                if fitted is not None and enough and luminance is None:
                    luminance = _luminance(decoded, fitted)
    return made, luminance


def _orientation(image: Image.Image, still: Still) -> int:
    """How the decoded picture is held; the decoders of HEIC, TIFF and JPEG XL turn theirs."""
    if image.format in _TURNED_BY_DECODER:
        return 1
    return orientation_of(still.exif or image.info.get("exif"))


def _by_scale(
    image: Image.Image, still: Still, inputs: Sequence[ImageInput], swapped: bool
) -> dict[tuple[int, int], list[ImageInput]]:
    """The inputs by the scale that they are made from, and what to ask a JPEG for to get it.

    A JPEG is decoded at the smallest scale that still has the least sides for an input; what shares a scale
    shares a decoding. Other formats are decoded once, in full.
    """
    asked: dict[tuple[int, int], tuple[int, int]] = {}
    scales: dict[tuple[int, int], list[ImageInput]] = {}
    for one in dict.fromkeys(inputs):
        size = still.canvas or image.size
        request = least_scale(size, one, swapped=swapped)
        if len(inputs) > 1 and image.format == "JPEG":
            with open_image(still.data) as probe:
                probe.draft("RGB", request)
                size = probe.size
        scales.setdefault(asked.setdefault(size, request), []).append(one)
    return scales


def _held_bytes(image: Image.Image, still: Still) -> int:
    width, height = image.size if still.canvas is None else still.canvas
    return width * height * still.pixel_bytes + still.extra_bytes


def _colours(image: Image.Image, still: Still) -> Colours:
    """What the file says of its colours; some formats' profiles are Pillow's to find."""
    profile = image.info.get("icc_profile") if image.format in _PROFILE_BY_PILLOW else None
    return Colours(icc=profile) if profile else still.colours


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """`size` with its aspect ratio, the longer side at most `side`."""
    share = min(1.0, side / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _least(fitted: tuple[int, int]) -> tuple[int, int]:
    """How far a luminance may fall short of `fitted`: a JPEG decoded at such a scale needs no resizing."""
    return fitted[0] * 3 // 4, fitted[1] * 3 // 4


def _luminance(image: Image.Image, fitted: tuple[int, int]) -> Image.Image:
    # Colours stay as they are encoded: codes are found by their contrast.
    plain = image.mode in {"L", "RGB"} and not image.has_transparency_data
    grey = (image if plain else to_opaque(image, fitted, PLAIN)[0]).convert("L")
    if grey.width > fitted[0] or grey.height > fitted[1]:
        grey = grey.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return grey


def _luminance_of_jpeg(still: Still, fitted: tuple[int, int], room: PixelBudget | None) -> Image.Image:
    """The luminance of a JPEG whose pixels for the graphs came at too small a scale.

    Decoded once more, without its colours: one decode at the larger scale would give the graphs other
    pixels than training saw, so that a verdict would depend on whether codes are read.
    """
    with open_image(still.data) as image:
        image.draft("L", _least(fitted))
        with nullcontext() if room is None else room.taken(_held_bytes(image, still)):
            return _luminance(loaded(image, still), fitted)


def _detail(still: Still, measures: frozenset[Measure], room: PixelBudget | None) -> dict[Measure, float]:
    """The numbers of the full-size luminance, of a decoding of its own: pixels stay as they are."""
    with open_image(still.data) as image:
        size = image.size
        by = reduction(size)
        image.draft("L", (size[0] // by, size[1] // by))
        with nullcontext() if room is None else room.taken(_held_bytes(image, still)):
            decoded = loaded(image, still)
            left = by if decoded.size == (still.canvas or size) else 1
            part = decoded.crop(middle(decoded.size, left))
            whole = _luminance(part, part.size)
            grey = np.asarray(whole.reduce(left) if left > 1 else whole)
            found: dict[Measure, float] = {}
            if not DETAIL.isdisjoint(measures):
                found |= detail(grey, by)
            if not DIFFERENCES.isdisjoint(measures):
                found |= differences(grey)
            if not DIRECTIONS.isdisjoint(measures):
                found |= directions(np.asarray(_small_luminance(decoded)))
    return {name: found[name] for name in measures}


def _small_luminance(image: Image.Image) -> Image.Image:
    """The luminance of the whole picture, its longer side at most that which directions are taken of."""
    fitted = _fitted(image.size, DIRECTIONS_SIDE)
    if image.mode in {"L", "RGB"} and not image.has_transparency_data:
        image = image.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return _luminance(image, fitted)
