"""Load: a still's bytes to its decoded picture, or an error where a part of it is not in the file."""

import io
import warnings
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.model.jpeg import Endings, endings
from worker.model.optional_formats import optional_format, pillow_formats
from worker.model.still import MADE_UP, Still

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_AVIF_BRANDS = {b"avif", b"avis"}

# ImageLimits judges the header instead, and refuses where Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and no pixel decoded.

    Raises:
        Rejection: none of FORMATS, or its header is damaged.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=pillow_formats(data, FORMATS))
    except UnidentifiedImageError:
        head = data[:16].decode("ascii", "backslashreplace")
        known = data.startswith(_BEGINNINGS) or data[8:12] in _AVIF_BRANDS or optional_format(data)
        if len(data) > 16 and known:
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


def loaded(image: Image.Image, still: Still) -> Image.Image:
    """The decoded picture on its canvas.

    Raises:
        Exception: of Pillow's, where a part of the picture is missing.

    """
    if image.format == "JPEG":
        return _loaded_jpeg(image, still.data)
    if still.ends:
        image = _agreed(map(open_image, still.ends))
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
    image = open_image(data)
    image.draft(mode, (image.width // scale, image.height // scale))
    return image
