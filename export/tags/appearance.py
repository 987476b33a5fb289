"""Colours and patterns as tags, computed from the pixels of the middle of a photo, where the product is.

Nobody labelled them: a tag of these says what the middle half of the width and height shows, background that
reaches into it included.
"""

import numpy as np
from numpy.typing import NDArray

_MIDDLE = 0.25  # of each side is left out at each end
_PATTERN_MIDDLE = 0.32  # a product's own edges lie outside, mostly
_COLOUR_SHARE = 0.3  # of the middle that a colour must cover
_WINDOW = 64  # pixels; the middle of a photo of the starter's size

# Hues in degrees of HSV where a colour ends and the next begins, for pixels that are neither grey nor dark.
_HUES = (
    (14, "red"),
    (42, "orange"),
    (70, "yellow"),
    (165, "green"),
    (258, "blue"),
    (295, "purple"),
    (345, "pink"),
)
COLOURS = tuple(f"colour-{name}" for name in (
    "black", "grey", "white", "beige", "brown", *(name for _, name in _HUES)
))  # fmt: skip
PATTERNS = ("pattern-plain", "pattern-striped", "pattern-busy")


def appearance_tags(images: NDArray[np.uint8]) -> list[tuple[str, ...]]:
    """The colours and the pattern of each of `images`, uint8 [n, height, width, 3]."""
    return [(*colours_of(image), pattern_of(image)) for image in images]


def colours_of(image: NDArray[np.uint8]) -> tuple[str, ...]:
    """The colours that cover at least 30 % of the middle."""
    names = _named(_middle(image).reshape(-1, 3).astype(np.float32) / np.float32(255))
    shares = np.bincount(names, minlength=len(COLOURS)) / len(names)
    return tuple(COLOURS[i] for i in np.flatnonzero(shares >= _COLOUR_SHARE))


def pattern_of(image: NDArray[np.uint8]) -> str:
    """Plain, striped (most of what is fine runs in one direction), or busy.

    From the power spectrum of the luminance of the middle third, between 3 and 20 periods.
    """
    middle = _middle(image, _PATTERN_MIDDLE).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    rows = np.linspace(0, middle.shape[0] - 1, _WINDOW).round().astype(int)
    columns = np.linspace(0, middle.shape[1] - 1, _WINDOW).round().astype(int)
    square = middle[np.ix_(rows, columns)]
    window = np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft2((square - square.mean()) * np.outer(window, window))) ** 2
    fy, fx = np.fft.fftfreq(_WINDOW, 1 / _WINDOW)[:, np.newaxis], np.arange(_WINDOW // 2 + 1)[np.newaxis]
    radius = np.hypot(fx, fy)
    band = (radius >= 3) & (radius <= 20)
    energy = power[band]
    # Of a wave of so many grey levels: the amplitude that all of the band has together.
    amplitude = np.sqrt(2 * energy.sum()) / (_WINDOW**2 * 0.25)
    if amplitude < 12:
        return "pattern-plain"
    angle = np.degrees(np.arctan2(fy, fx) % np.pi) * np.ones_like(radius)
    turns = np.bincount((angle[band] // 15).astype(int) % 12, weights=energy, minlength=12) / energy.sum()
    pairs = turns + np.roll(turns, -1)  # two neighbours, where a direction lies between them
    return "pattern-striped" if pairs.max() >= 0.65 else "pattern-busy"


def _middle(image: NDArray[np.uint8], margin: float = _MIDDLE) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    top, left = int(height * margin), int(width * margin)
    return image[top : height - top, left : width - left]


def _named(pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into `COLOURS` of each pixel, RGB from 0 to 1 [n, 3]."""
    high, low = pixels.max(axis=1), pixels.min(axis=1)
    chroma = high - low
    saturation = chroma / np.maximum(high, 1e-6)
    red, green, blue = pixels.T
    safe = np.maximum(chroma, 1e-6)
    hue = np.select(
        [high == red, high == green], [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    ) * 60  # fmt: skip
    names = np.searchsorted([end for end, _ in _HUES], hue, side="right") % len(_HUES) + 5
    warm = (hue >= 14) & (hue < 55)
    names[warm & (high < 0.6) & (saturation >= 0.25)] = COLOURS.index("colour-brown")
    names[warm & (high >= 0.6) & (saturation < 0.4)] = COLOURS.index("colour-beige")
    grey = (saturation < 0.14) | (chroma < 0.06)
    names[grey] = COLOURS.index("colour-grey")
    names[grey & (high >= 0.8)] = COLOURS.index("colour-white")
    names[high < 0.2] = COLOURS.index("colour-black")
    return np.asarray(names, np.int64)
