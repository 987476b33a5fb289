"""Edits by which a seller posts one photo again: the fourteen measured, and random ones to train on."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Photo = Image.Image
_WHITE = (255, 255, 255)
# Off each side, so that 85 % of the area is left.
_AREA = (1 - 0.85**0.5) / 2


def _saved(photo: Photo, quality: int) -> Photo:
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def _scaled(photo: Photo, by: float) -> Photo:
    return photo.resize(
        (max(24, round(photo.width * by)), max(24, round(photo.height * by))), Image.Resampling.BICUBIC
    )


def _cropped(photo: Photo, left: float, top: float, right: float, bottom: float) -> Photo:
    """Without these shares of width and height."""
    width, height = photo.size
    return photo.crop(
        (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def _captioned(photo: Photo, share: float, fill: tuple[int, ...] = _WHITE, *, below: bool = True) -> Photo:
    """A strip over `share` of the height, with marks on it as of writing."""
    copy = photo.copy()
    pen = ImageDraw.Draw(copy)
    strip = round(photo.height * share)
    top = photo.height - strip if below else 0
    pen.rectangle((0, top, photo.width, top + strip), fill=fill)
    ink = (20, 20, 20) if sum(fill) > 380 else (240, 240, 240)
    for left in range(8, photo.width - 12, 14):
        pen.rectangle((left, top + strip * 0.3, left + 9, top + strip * 0.7), fill=ink)
    return copy


def _framed(photo: Photo, share: float, fill: tuple[int, ...] = _WHITE) -> Photo:
    return ImageOps.expand(photo, border=max(1, round(share * min(photo.size))), fill=fill)


def _coloured(photo: Photo, brightness: float, contrast: float, saturation: float) -> Photo:
    brighter = ImageEnhance.Contrast(ImageEnhance.Brightness(photo).enhance(brightness)).enhance(contrast)
    return ImageEnhance.Color(brighter).enhance(saturation)


def _turned(photo: Photo, degrees: float, fill: tuple[int, ...] = _WHITE) -> Photo:
    return photo.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=fill)


EDITS: Mapping[str, Callable[[Photo], Photo]] = {
    "quality 30": lambda photo: _saved(photo, 30),
    "quality 95": lambda photo: _saved(photo, 95),
    "scale 0.3": lambda photo: _scaled(photo, 0.3),
    "scale 2": lambda photo: _scaled(photo, 2),
    "crop to 85 % of the area": lambda photo: _cropped(photo, _AREA, _AREA, _AREA, _AREA),
    "crop of 15 % left": lambda photo: _cropped(photo, 0.15, 0, 0, 0),
    "crop of 15 % right": lambda photo: _cropped(photo, 0, 0, 0.15, 0),
    "crop of 15 % above": lambda photo: _cropped(photo, 0, 0.15, 0, 0),
    "crop of 15 % below": lambda photo: _cropped(photo, 0, 0, 0, 0.15),
    "mirrored": ImageOps.mirror,
    "border": lambda photo: _framed(photo, 0.08),
    "caption strip": lambda photo: _captioned(photo, 0.15),
    "turned by 5 degrees": lambda photo: _turned(photo, 5),
    "colour jitter": lambda photo: _coloured(photo, 1.15, 1.15, 0.8),
}


# What makes several pictures out of one photo.
Edits = Callable[[np.random.Generator, Photo], list[Photo]]


def every_edit(_rng: np.random.Generator, photo: Photo) -> list[Photo]:
    """The photo by each of EDITS, in their order."""
    return [edit(photo) for edit in EDITS.values()]


def random_edits(rng: np.random.Generator, photo: Photo, count: int) -> list[Photo]:
    """The photo edited `count` times at random."""
    return [random_edit(rng, photo) for _ in range(count)]


def random_edit(rng: np.random.Generator, photo: Photo) -> Photo:
    """One to three edits one after the other, of any strength that leaves the photo to be known."""
    kinds = (
        "saved",
        "scaled",
        "cropped",
        "cropped",
        "zoomed",
        "mirrored",
        "framed",
        "captioned",
        "turned",
        "coloured",
    )
    for kind in rng.permutation(kinds)[: int(rng.choice((1, 1, 1, 2, 2, 3)))]:
        photo = _random(rng, photo, str(kind))
    return _saved(photo, int(rng.integers(60, 96)))


def _random(rng: np.random.Generator, photo: Photo, kind: str) -> Photo:
    def drawn(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    fill = tuple(
        int(v) for v in (rng.integers(0, 256, 3) if rng.random() < 0.4 else [255 * int(rng.integers(2))] * 3)
    )
    if kind == "cropped":
        return _cropped(photo, *(drawn(0, 0.2) * (rng.random() < 0.6) for _ in range(4)))
    if kind == "coloured":
        tinted = _coloured(photo, drawn(0.75, 1.3), drawn(0.75, 1.3), drawn(0.6, 1.4))
        gains = rng.uniform(0.9, 1.1, 3) if rng.random() < 0.4 else np.ones(3)
        return Image.fromarray((np.asarray(tinted) * gains).clip(0, 255).astype(np.uint8))
    edits: dict[str, Callable[[], Photo]] = {
        "saved": lambda: _saved(photo, int(rng.integers(20, 96))),
        "scaled": lambda: _scaled(photo, float(np.exp(drawn(np.log(0.25), np.log(2))))),
        "zoomed": lambda: _cropped(photo, *[drawn(0, 0.12)] * 4),
        "mirrored": lambda: ImageOps.mirror(photo),
        "framed": lambda: _framed(photo, drawn(0.01, 0.14), fill),
        "captioned": lambda: _captioned(photo, drawn(0.05, 0.22), fill, below=rng.random() < 0.7),
        "turned": lambda: _turned(photo, drawn(-8, 8), fill),
    }
    return edits[kind]()
