"""Rendered images as the bytes that a seller would upload.

`python -m export.render --kind notice --count 1000 --seed 1 --out runs/notices` writes a folder of them.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from export.render.camera import to_bytes
from export.render.pillow.fonts import installed_fonts
from export.render.pillow.notices import render_notice
from export.render.pillow.products import render_hard_product
from export.render.pillow.qr import render_qr_photo, render_qr_poster
from export.render.typst.fonts import training_fonts
from export.render.typst.notices import draw_typst_notice
from export.render.typst.posters import draw_typst_qr_poster

Kind = Literal["notice", "qr_poster", "qr_photo", "product", "typst_notice", "typst_qr_poster"]


@functools.lru_cache(maxsize=4)
def _open_photos(paths: tuple[Path, ...]) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in paths]


def render_upload(kind: Kind, seed: int, index: int, backgrounds: tuple[Path, ...] = ()) -> bytes:
    """The upload bytes of render `index` of a set; the same arguments give the same bytes.

    Args:
        kind: what to draw; "product" is a changed photo of `backgrounds`.
        seed: names the set; training and test sets have different ones.
        index: which image of the set.
        backgrounds: photos to draw on or to change.

    """
    rng = np.random.default_rng([seed, index])
    fonts, photos = installed_fonts(), _open_photos(backgrounds)
    draw: dict[Kind, Callable[[], Image.Image]] = {
        "notice": lambda: render_notice(rng, fonts, photos),
        "qr_poster": lambda: render_qr_poster(rng, fonts, photos),
        "qr_photo": lambda: render_qr_photo(rng, photos),
        "product": lambda: render_hard_product(rng, fonts, photos, index % len(photos)),
        "typst_notice": lambda: draw_typst_notice(rng, training_fonts(), backgrounds),
        "typst_qr_poster": lambda: draw_typst_qr_poster(rng, training_fonts(), backgrounds),
    }
    return to_bytes(rng, draw[kind]())


def suffix_of(data: bytes) -> str:
    """The file name's ending that fits upload bytes: .jpg, .png or .webp."""
    return ".png" if data.startswith(b"\x89PNG") else ".webp" if data.startswith(b"RIFF") else ".jpg"
