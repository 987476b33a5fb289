"""Orientation: how EXIF says that a picture is held. XMP is not asked, as no browser asks it."""

import warnings

from PIL import Image

# EXIF tag 0x0112 to the operation that turns the image upright.
_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES = {5, 6, 7, 8}

# What a JPEG segment can hold; longer EXIF has its first directory, which alone is read, at the start.
_MAX_BYTES = 65_536


def orientation_of(exif: bytes | None) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it cannot be read."""
    if not exif:
        return 1
    try:
        # Image.getexif() loads a PNG's pixels and falls back on XMP.
        found = Image.Exif()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.load(exif[:_MAX_BYTES])
        value = int(found.get(_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF does not make the pixels unusable
        return 1
    return value if value in UPRIGHT else 1
