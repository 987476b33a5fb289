"""Controlled degradations: one photo at several qualities, best first."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from export.preference.turning import turned

DEGRADATIONS = ("blur", "dark", "bright", "flat", "crop", "noise", "jpeg", "cast")
# What the numbers of the full-size luminance can tell as well.
QUALITY_DEGRADATIONS = (*DEGRADATIONS, "tilt")
LEVELS = 3  # strengths of each degradation, mild to heavy
TILTS = (3.0, 9.0, 15.0)  # degrees, by level


def degrade(  # noqa: PLR0911 - one kind each
    rng: np.random.Generator, photo: Image.Image, kind: str, level: int
) -> Image.Image:
    """The photo made worse: `level` 1 is mild, LEVELS is heavy."""
    amount = level / LEVELS
    if kind == "blur":
        return photo.filter(ImageFilter.GaussianBlur(0.012 * amount * max(photo.size)))
    if kind in {"dark", "bright"}:
        return ImageEnhance.Brightness(photo).enhance(
            1 - 0.75 * amount if kind == "dark" else 1 + 1.3 * amount
        )
    if kind == "flat":
        return ImageEnhance.Contrast(photo).enhance(1 - 0.8 * amount)
    if kind == "crop":
        share = 1 - 0.55 * amount
        width, height = int(photo.width * share), int(photo.height * share)
        left, top = (
            int(rng.integers(0, 2)) * (photo.width - width),
            int(rng.integers(0, 2)) * (photo.height - height),
        )
        return photo.crop((left, top, left + width, top + height))
    if kind == "jpeg":
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=int(30 - 25 * amount))
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")
    if kind == "tilt":
        return turned(rng, photo, TILTS[level - 1])
    pixels = np.asarray(photo, dtype=np.float64)
    if kind == "noise":
        pixels = pixels + rng.normal(0, 45 * amount, pixels.shape)
    else:
        gains = np.ones(3)
        gains[int(rng.integers(3))] = 1 - 0.6 * amount
        pixels = pixels * gains
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def ladder(rng: np.random.Generator, photo: Image.Image, side: int) -> NDArray[np.uint8]:
    """One photo at LEVELS + 1 qualities, best first: uint8 [LEVELS + 1, side, side, 3]."""
    kind = DEGRADATIONS[int(rng.integers(len(DEGRADATIONS)))]
    steps = [photo, *(degrade(rng, photo, kind, level) for level in range(1, LEVELS + 1))]
    return np.stack([np.asarray(step.resize((side, side), Image.Resampling.BILINEAR)) for step in steps])
