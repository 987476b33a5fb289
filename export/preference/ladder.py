"""Controlled degradations: one photo at several qualities, best first."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

DEGRADATIONS = ("blur", "dark", "bright", "flat", "crop", "noise", "jpeg", "cast")
# What the numbers of the full-size luminance can tell as well.
QUALITY_DEGRADATIONS = (*DEGRADATIONS, "tilt")
LEVELS = 3  # strengths of each degradation, mild to heavy


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
        return _tilted(rng, photo, 3 + 12 * (level - 1) / max(1, LEVELS - 1))
    pixels = np.asarray(photo, dtype=np.float64)
    if kind == "noise":
        pixels = pixels + rng.normal(0, 45 * amount, pixels.shape)
    else:
        gains = np.ones(3)
        gains[int(rng.integers(3))] = 1 - 0.6 * amount
        pixels = pixels * gains
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _tilted(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """Turned either way; what comes into view is black, white or grey, or cut off."""
    turn = degrees * float(rng.choice([-1, 1]))
    smooth = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[int(rng.integers(2))]
    ground = int(rng.choice([0, 128, 255, -1]))
    if ground >= 0:
        return photo.rotate(turn, smooth, fillcolor=(ground,) * 3)
    across, along = photo.size
    tall = max(across / along, along / across)
    share = 1 / (np.cos(np.radians(degrees)) + np.sin(np.radians(degrees)) * tall)
    left, top = across * (1 - share) / 2, along * (1 - share) / 2
    return photo.rotate(turn, smooth).crop(
        (int(left) + 1, int(top) + 1, int(across - left), int(along - top))
    )


def ladder(rng: np.random.Generator, photo: Image.Image, side: int) -> NDArray[np.uint8]:
    """One photo at LEVELS + 1 qualities, best first: uint8 [LEVELS + 1, side, side, 3]."""
    kind = DEGRADATIONS[int(rng.integers(len(DEGRADATIONS)))]
    steps = [photo, *(degrade(rng, photo, kind, level) for level in range(1, LEVELS + 1))]
    return np.stack([np.asarray(step.resize((side, side), Image.Resampling.BILINEAR)) for step in steps])
