"""Decode: image bytes to the uint8 pixels that the graphs take.

The bytes and the header are judged before a pixel is decoded, and the pixels are those that buyers see.
Training uses this same function, so that it sees the same pixels as serving.
"""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from operator import ge

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from schemas.bundle import ImageInput, Measure
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.avif import read_avif
from worker.model.bmp import read_bmp
from worker.model.colour import PLAIN, Colours, Transform
from worker.model.fit import REDUCING_GAP, fit, least_scale
from worker.model.gif import read_gif
from worker.model.jpeg import Endings, endings, read_jpeg
from worker.model.orientation import SWAPS_SIDES, UPRIGHT, orientation_of
from worker.model.pixel_budget import PixelBudget
from worker.model.png import read_png
from worker.model.still import MADE_UP, ImageLimits, Still
from worker.model.webp import read_webp

__all__ = ["FORMATS", "DecodedImage", "ImageLimits", "decode", "decode_inputs"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_AVIF_BRANDS = {b"avif", b"avis"}

# ImageLimits judges the header instead, and refuses where Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None


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
) -> DecodedImage:
    """Decode, turn upright (EXIF), lay over white, and make the pixels of every input.

    The pixels of an input are the same whatever other inputs there are, since training saw each alone.

    With `luminance_side` the luminance too, its longer side at most so long, and never under three
    quarters of that unless the image is; the pixels are the same with and without it. Of an animation
    the frame that a browser shows first is used. Thread-safe; Pillow releases the GIL in its decoders. Where
    there is `room`, it is taken while full-size pixels are held.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.

    """
    if not data:
        raise Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes")
    still = _still(data, limits)
    with _open(still.data) as image:
        original_width, original_height = size = still.canvas or image.size
        _judge_header(size, _frames(image, still), limits)
        try:
            fitted = None if luminance_side is None else _fitted(size, luminance_side)
            made, luminance = _upright_rgb(image, still, inputs, fitted, room)
            if fitted is not None and luminance is None:
                luminance = _luminance_of_jpeg(still, fitted, room)
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
            measured={"width": original_width, "height": original_height, "bytes": len(data)},
            luminance=None if luminance is None else np.asarray(luminance, dtype=np.uint8),
        )


def _still(data: bytes, limits: ImageLimits) -> Still:
    """The picture of `data`, by the bytes that each format begins with."""
    if data.startswith(b"\xff\xd8\xff"):
        return read_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return read_png(data, limits)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return read_gif(data, limits)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return read_webp(data, limits)
    if data.startswith(b"BM"):
        return read_bmp(data)
    return read_avif(data, limits)  # or none of them, which Pillow says


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        head = data[:16].decode("ascii", "backslashreplace")
        if len(data) > 16 and (data.startswith(_BEGINNINGS) or data[8:12] in _AVIF_BRANDS):
            raise Rejection(
                RejectionReason.IMAGE_CORRUPT, f"{len(data)} bytes beginning {head!r}: the header is damaged"
            ) from None
        raise Rejection(
            RejectionReason.IMAGE_NOT_AN_IMAGE,
            f"{len(data)} bytes beginning {head!r} are none of {', '.join(FORMATS)}",
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        raise Rejection(RejectionReason.IMAGE_CORRUPT, f"the image header is damaged: {error}") from error


def _frames(image: Image.Image, still: Still) -> int:
    """How many frames there are; of an AVIF Pillow has counted them already."""
    return int(getattr(image, "n_frames", 1)) if image.format == "AVIF" else still.frames


def _judge_header(size: tuple[int, int], frames: int, limits: ImageLimits) -> None:
    width, height = size
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
    orientation, size = orientation_of(still.exif or image.info.get("exif")), still.canvas or image.size
    swapped = orientation in SWAPS_SIDES
    made: dict[ImageInput, Image.Image] = {}
    luminance: Image.Image | None = None
    for scale, wanted in _by_scale(image, still, inputs, swapped).items():
        with nullcontext(image) if not made else _open(still.data) as opened:
            opened.draft("RGB", scale)
            with nullcontext() if room is None else room.taken(_held_bytes(opened, still)):
                decoded = _loaded(opened, still)
                to_rgb = partial(_rgb, decoded, colours=_colours(opened, still))
                for one in wanted:
                    small = fit(to_rgb, one, size, swapped=swapped)
                    made[one] = small.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else small
                enough = fitted is not None and all(map(ge, decoded.size, _least(fitted)))
                if fitted is not None and enough and luminance is None:
                    luminance = _luminance(decoded, fitted)
    return made, luminance


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
            with _open(still.data) as probe:
                probe.draft("RGB", request)
                size = probe.size
        scales.setdefault(asked.setdefault(size, request), []).append(one)
    return scales


def _held_bytes(image: Image.Image, still: Still) -> int:
    width, height = image.size if still.canvas is None else still.canvas
    return width * height * still.pixel_bytes + still.extra_bytes


def _colours(image: Image.Image, still: Still) -> Colours:
    """What the file says of its colours; an AVIF's profile is Pillow's to find."""
    profile = image.info.get("icc_profile") if image.format == "AVIF" else None
    return Colours(icc=profile) if profile else still.colours


def _loaded(image: Image.Image, still: Still) -> Image.Image:
    """The decoded picture on its canvas.

    Raises:
        Exception: of Pillow's, where a part of the picture is missing.

    """
    if image.format == "JPEG":
        return _loaded_jpeg(image, still.data)
    if still.ends:
        image = _agreed(map(_open, still.ends))
    image.load()
    if still.canvas is None or still.canvas == image.size:
        return image
    laid = Image.new("RGBA", still.canvas)
    laid.paste(image.convert("RGBA"), still.offset)
    return laid


def _loaded_jpeg(image: Image.Image, data: bytes) -> Image.Image:
    """A JPEG's pixels, or an error where some of them are not in the file.

    Pillow refuses one that lacks no more than its end marker, and takes one that was cut and given such a
    marker, or zeros, in which libjpeg then fills the rest with grey. So what looks like either is decoded
    with two endings: pixels that come from the file are the same with both.
    """
    try:
        image.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
    else:
        if not data.endswith(b"\0\0") and not _ends_in_filler(image):
            return image
    scale = (getattr(image, "decoderconfig", ()) or (1,))[0]
    possible = endings(data)
    for ended in possible[:-1]:
        with suppress(OSError):
            return _tightly_ended(ended, image.mode, scale)
    return _agreed(_drafted(end, image.mode, scale) for end in (possible[-1].one, possible[-1].other))


def _tightly_ended(ended: Endings, mode: str, scale: int) -> Image.Image:
    """The picture, if it needs the last bytes that the file has.

    Raises:
        OSError: it lacks a part, or those bytes are no part of it.

    """
    picture = _agreed(_drafted(end, mode, scale) for end in (ended.one, ended.other))
    shorter = _drafted(ended.shorter, mode, scale)
    shorter.load()
    if ImageChops.difference(picture, shorter).getbbox(alpha_only=False) is None:
        raise OSError("the file ends in zeros that are no part of its picture")
    return picture


def _agreed(endings: Iterable[Image.Image]) -> Image.Image:
    """The picture that two of the `endings` agree on but for `MADE_UP`; what does not decode is left out.

    Raises:
        OSError: fewer than two decode, or they differ: more than the end of the file is missing.

    """
    decoded: list[Image.Image] = []
    for image in endings:
        with suppress(OSError):
            image.load()
            decoded.append(image)
        if len(decoded) == 2:
            break
    if len(decoded) == 2:
        apart = np.asarray(ImageChops.difference(*decoded)).reshape(decoded[0].width * decoded[0].height, -1)
        if apart.any(axis=1).mean() <= MADE_UP:
            return decoded[0]
    raise OSError("the file ends before its picture does")


def _ends_in_filler(image: Image.Image) -> bool:
    """Whether the last pixel is the mid-grey that libjpeg fills with."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return all(value in {127, 128} for value in (last if isinstance(last, tuple) else (last,)))


def _drafted(data: bytes, mode: str, scale: int) -> Image.Image:
    image = _open(data)
    image.draft(mode, (image.width // scale, image.height // scale))
    return image


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
    grey = (image if plain else _rgb(image, fitted, PLAIN)[0]).convert("L")
    if grey.width > fitted[0] or grey.height > fitted[1]:
        grey = grey.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return grey


def _luminance_of_jpeg(still: Still, fitted: tuple[int, int], room: PixelBudget | None) -> Image.Image:
    """The luminance of a JPEG whose pixels for the graphs came at too small a scale.

    Decoded once more, without its colours: one decode at the larger scale would give the graphs other
    pixels than training saw, so that a verdict would depend on whether codes are read.
    """
    with _open(still.data) as image:
        image.draft("L", _least(fitted))
        with nullcontext() if room is None else room.taken(_held_bytes(image, still)):
            return _luminance(_loaded(image, still), fitted)


def _rgb(
    image: Image.Image, target: tuple[int, int], colours: Colours
) -> tuple[Image.Image, Transform | None]:
    """Opaque pixels, and what makes them sRGB once they are small: until then they keep their mode."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        over = image if image.mode == "RGBA" else image.convert("RGBA")
        # As resize() does first with other images: laid over white at full size it would take 1 GB.
        over = over.reduce(
            (
                int(over.width / target[0] / REDUCING_GAP) or 1,
                int(over.height / target[1] / REDUCING_GAP) or 1,
            )
        )
        over = _with_alpha_in_srgb(over, colours)
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB"), None
    if image.mode in {"L", "CMYK"} and (transform := colours.transform(image.mode)) is not None:
        return image, transform
    # convert() would copy what is RGB already.
    return image if image.mode == "RGB" else image.convert("RGB"), colours.transform("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """L, or LA where a value is transparent, of 16-bit grey, which convert() would clip at 255."""
    values = np.asarray(image)
    grey = Image.fromarray((values // 257).clip(0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _with_alpha_in_srgb(over: Image.Image, colours: Colours) -> Image.Image:
    if (transform := colours.transform("RGBA")) is not None:
        turned = transform(over)
    elif (transform := colours.transform("L")) is not None:
        turned = transform(over.getchannel("R"))
    else:
        return over
    turned.putalpha(over.getchannel("A"))
    return turned
