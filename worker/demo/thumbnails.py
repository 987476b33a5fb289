"""Thumbnails as data URIs, so that the report is one file."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageOps

_SIDE = 176
_QUALITY = 70


def thumbnails(pictures: Mapping[str, Path]) -> dict[str, str]:
    """A small JPEG of each picture, as a data URI by image id; what is no image has none."""
    found = {}
    for image_id, file in pictures.items():
        try:
            found[image_id] = data_uri(file)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # judged by the program; without a picture in the report
    return found


def data_uri(file: Path) -> str:
    """`file`, shrunk to fit a square.

    Raises:
        OSError: it is not an image, or damaged.

    """
    with Image.open(file) as opened:
        opened.draft("RGB", (2 * _SIDE, 2 * _SIDE))
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"
