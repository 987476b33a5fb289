"""Edited near-copies of a photo, as sellers make them who list the same thing twice."""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

_LARGEST_SIDE = 640
_QUALITY = 88


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width * 5 // 100, height * 5 // 100, width * 95 // 100, height * 95 // 100))


def _brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.25)


def _saved_again(image: Image.Image) -> Image.Image:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=25)
    return Image.open(packed).convert("RGB")


def _bordered(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, border=max(4, min(image.size) * 4 // 100), fill="white")


# What a seller did, in words for the report, and how.
EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "cropped by a tenth": _cropped,
    "brighter by a quarter": _brighter,
    "saved again at quality 25": _saved_again,
    "mirrored": ImageOps.mirror,
    "white border": _bordered,
}


def edited_copies(photo: Path, folder: Path, name: str) -> dict[str, Path]:
    """Write each edit of `photo` as a JPEG into `folder`; gives the files by edit.

    Raises:
        OSError: the photo is not an image, or damaged.

    """
    with Image.open(photo) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    files = {}
    for number, (edit, apply) in enumerate(EDITS.items()):
        files[edit] = folder / f"{name}-{number}.jpg"
        apply(image).save(files[edit], "JPEG", quality=_QUALITY)
    return files
