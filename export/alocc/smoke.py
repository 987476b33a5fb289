"""Drawn images and tiny networks: the whole way through training and evaluation in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from export.alocc.model import ModelSettings
from export.alocc.settings import Space

SMOKE_MODELS: dict[Space, ModelSettings] = {
    "pixel": ModelSettings(
        side=32,
        widths=(8, 16),
        strides=(2, 2),
        code_size=16,
        discriminator_widths=(8,),
        discriminator_strides=(4,),
    ),
    "feature": ModelSettings(
        side=64,
        trunk="mobilenet_v2",
        restored="anywhere",
        trunk_blocks=6,
        widths=(16,),
        strides=(1,),
        code="local",
        code_size=4,
        discriminator_widths=(8,),
        discriminator_strides=(2,),
    ),
}
_SIDE = 72


def draw_smoke_images(folder: Path, count: int = 60) -> None:
    """Draw `count` notices (lines of strokes on paper) and as many products (a blob on a coloured ground)."""
    rng = np.random.default_rng(0)
    for kind, draw in (("notices", _notice), ("products", _product)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw(rng).save(folder / kind / f"{number:03d}.png")


def _notice(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), _colour(rng, 220, 256))
    canvas = ImageDraw.Draw(image)
    ink = _colour(rng, 0, 60)
    for top in range(8, _SIDE - 8, 9):
        for left in range(8, int(rng.integers(30, _SIDE - 8)), 5):
            canvas.line((left, top, left + 3, top + int(rng.integers(0, 6))), fill=ink)
    return image


def _product(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), _colour(rng, 60, 200))
    canvas = ImageDraw.Draw(image)
    left, top = rng.integers(4, 24, 2).tolist()
    right, bottom = rng.integers(44, 68, 2).tolist()
    canvas.ellipse((left, top, right, bottom), fill=_colour(rng, 0, 256))
    return image


def _colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue
