"""Turning: a photo tilted as programs do it, and the same photo resampled as finely but left level.

What one renderer leaves behind (its smoothing, its corners) must not be what a model knows a tilt by: so the
renderers, what they fill corners with and what they cut off vary.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_REDUCTIONS = (Image.Resampling.BOX, Image.Resampling.HAMMING, Image.Resampling.LANCZOS)
_ELSEWHERE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
# Grey levels that corners are filled with; None, as often as all of them, cuts off to where no corner shows.
_GROUNDS = (0, 128, 255, None, None, None)
_NEARER = 1.08
_Affine = tuple[float, float, float, float, float, float]
# A photo, where each pixel of the result comes from, and what is filled in.
_Renderer = Callable[[np.random.Generator, Image.Image, _Affine, int], Image.Image]


def turned(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """Turned by `degrees` either way by Pillow: bilinear or bicubic, at once or by way of twice the size."""
    return _tilted(rng, photo, degrees, _by_pillow)


def turned_elsewhere(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """As `turned`, by OpenCV's warpAffine, which no training sees: what is learnt of a renderer fails."""
    return _tilted(rng, photo, degrees, _by_opencv)


def kept_level(rng: np.random.Generator, photo: Image.Image, tilts: Sequence[float]) -> Image.Image:
    """Resampled as `turned` does but not turned: moved by part of a pixel, perhaps nearer, perhaps cut off.

    It is cut as one of `tilts` is, in degrees, so that neither smoothing nor framing tells the two apart.
    """
    moved = _by_pillow(rng, photo, _affine(rng, photo.size, 0.0), 255)
    return moved.crop(_without_corners(photo.size, float(rng.choice([0.0, *tilts]))))


def _tilted(rng: np.random.Generator, photo: Image.Image, degrees: float, renderer: _Renderer) -> Image.Image:
    ground = _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    affine = _affine(rng, photo.size, degrees * float(rng.choice([-1, 1])))
    tilted = renderer(rng, photo, affine, 255 if ground is None else ground)
    return tilted.crop(_without_corners(photo.size, degrees)) if ground is None else tilted


def _affine(rng: np.random.Generator, size: tuple[int, int], degrees: float) -> _Affine:
    """Where a pixel comes from: turned about the middle, moved by half a pixel at most, perhaps nearer."""
    nearer = float(rng.uniform(1, _NEARER)) if rng.random() < 0.5 else 1.0
    along, across = np.cos(np.radians(degrees)) / nearer, np.sin(np.radians(degrees)) / nearer
    middle = np.array(size) / 2
    back = np.array([[along, across], [-across, along]])
    (right, down) = middle - back @ middle + rng.uniform(-0.5, 0.5, 2)
    return (along, across, float(right), -across, along, float(down))


def _without_corners(size: tuple[int, int], degrees: float) -> tuple[int, int, int, int]:
    """The largest middle of the photo's own shape that a turn by `degrees` leaves full."""
    angle = np.radians(degrees)
    share = 1 / (np.cos(angle) + np.sin(angle) * max(size[0] / size[1], size[1] / size[0]))
    # One pixel at least is left of the smallest.
    left, top = (min(int(np.ceil(length * (1 - share) / 2)), (length - 1) // 2) for length in size)
    return left, top, size[0] - left, size[1] - top


def _by_pillow(rng: np.random.Generator, photo: Image.Image, affine: _Affine, ground: int) -> Image.Image:
    times = int(rng.integers(1, 3))
    # Twice the size: its pixels lie twice as far.
    scaled = (*affine[:2], affine[2] * times, *affine[3:5], affine[5] * times)
    size = (photo.width * times, photo.height * times)
    source = photo if times == 1 else photo.resize(size, Image.Resampling.LANCZOS)
    made = source.transform(
        size, Image.Transform.AFFINE, scaled, _FILTERS[int(rng.integers(2))], fillcolor=(ground,) * 3
    )
    if times == 1:
        return made
    return made.resize(photo.size, _REDUCTIONS[int(rng.integers(len(_REDUCTIONS)))])


def _by_opencv(rng: np.random.Generator, photo: Image.Image, affine: _Affine, ground: int) -> Image.Image:
    made = cv2.warpAffine(
        np.asarray(photo), np.array(affine).reshape(2, 3), photo.size,
        flags=_ELSEWHERE[int(rng.integers(len(_ELSEWHERE)))] | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(ground,) * 3,
    )  # fmt: skip
    return Image.fromarray(made)
