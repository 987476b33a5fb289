"""Turning: a photo tilted as programs do it, and the same photo resampled as finely but left level.

What one renderer leaves behind (its smoothing, its corners) must not be what a model knows a tilt by: so the
renderers vary, and whether corners are filled, within the photo's frame or one grown round them, or cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

_FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_REDUCTIONS = (Image.Resampling.BOX, Image.Resampling.HAMMING, Image.Resampling.LANCZOS)
_OF_OPENCV = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_SPLINES = (2, 3, 5)  # orders; SciPy's usual one is 3
# Grey levels that corners are filled with; None, as often as all of them, cuts off to where no corner shows.
_GROUNDS = (0, 128, 255, None, None, None)
_NEARER = 1.08
_Size = tuple[int, int]


@dataclass(frozen=True)
class _Turn:
    """Where each pixel of a result of `size` comes from, as Pillow has it; the grey that is filled in."""

    affine: tuple[float, float, float, float, float, float]
    size: _Size
    ground: int = 255

    def grown(self, size: _Size) -> "_Turn":
        """The same in a frame that holds all corners of a photo of `size`."""
        along, across, right, _, _, down = self.affine
        share = along**2 + across**2
        width, height = (
            int(np.ceil((abs(along) * one + abs(across) * other) / share))
            for one, other in (size, size[::-1])
        )
        left, above = (width - size[0]) / 2, (height - size[1]) / 2
        right -= along * left + across * above
        down -= along * above - across * left
        return _Turn((along, across, right, -across, along, down), (width, height), self.ground)


_Renderer = Callable[[np.random.Generator, Image.Image, _Turn], Image.Image]


def turned(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """Turned by `degrees` either way by Pillow, of whose filters one is drawn, perhaps at twice the size."""
    return _tilted(rng, photo, degrees, _by_pillow)


def turned_by_opencv(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """As `turned`, by OpenCV's warpAffine, which no training sees: what is learnt of a renderer fails."""
    return _tilted(rng, photo, degrees, _by_opencv)


def turned_by_splines(rng: np.random.Generator, photo: Image.Image, degrees: float) -> Image.Image:
    """As `turned`, by SciPy's B-splines, which no training sees either: they keep more of what is fine."""
    return _tilted(rng, photo, degrees, _by_splines)


def kept_level(rng: np.random.Generator, photo: Image.Image, tilts: Sequence[float]) -> Image.Image:
    """Resampled as `turned` does but not turned: moved by part of a pixel, perhaps nearer, perhaps cut off.

    It is cut as one of `tilts` is, in degrees, so that neither smoothing nor framing tells the two apart.
    """
    moved = _by_pillow(rng, photo, _turn(rng, photo.size, 0.0))
    return moved.crop(_without_corners(photo.size, float(rng.choice([0.0, *tilts]))))


def _tilted(rng: np.random.Generator, photo: Image.Image, degrees: float, renderer: _Renderer) -> Image.Image:
    ground = _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    turn = _turn(rng, photo.size, degrees * float(rng.choice([-1, 1])), 255 if ground is None else ground)
    if ground is None:
        return renderer(rng, photo, turn).crop(_without_corners(photo.size, degrees))
    return renderer(rng, photo, turn.grown(photo.size) if rng.random() < 0.5 else turn)


def _turn(rng: np.random.Generator, size: _Size, degrees: float, ground: int = 255) -> _Turn:
    """Turned about the middle, moved by half a pixel at most, perhaps nearer."""
    nearer = float(rng.uniform(1, _NEARER)) if rng.random() < 0.5 else 1.0
    along, across = np.cos(np.radians(degrees)) / nearer, np.sin(np.radians(degrees)) / nearer
    middle = np.array(size) / 2
    back = np.array([[along, across], [-across, along]])
    (right, down) = middle - back @ middle + rng.uniform(-0.5, 0.5, 2)
    return _Turn((along, across, float(right), -across, along, float(down)), size, ground)


def _without_corners(size: _Size, degrees: float) -> tuple[int, int, int, int]:
    """The largest middle of the photo's own shape that a turn by `degrees` leaves full."""
    angle = np.radians(degrees)
    share = 1 / (np.cos(angle) + np.sin(angle) * max(size[0] / size[1], size[1] / size[0]))
    # One pixel at least is left of the smallest.
    left, top = (min(int(np.ceil(length * (1 - share) / 2)), (length - 1) // 2) for length in size)
    return left, top, size[0] - left, size[1] - top


def _by_pillow(rng: np.random.Generator, photo: Image.Image, turn: _Turn) -> Image.Image:
    times = int(rng.integers(1, 3))
    # Twice the size: its pixels lie twice as far.
    along, across, right, *below, down = turn.affine
    scaled = (along, across, right * times, *below, down * times)
    source = photo if times == 1 else photo.resize(_times(photo.size, 2), Image.Resampling.LANCZOS)
    kept = _FILTERS[int(rng.integers(len(_FILTERS)))]
    made = source.transform(
        _times(turn.size, times), Image.Transform.AFFINE, scaled, kept, fillcolor=(turn.ground,) * 3
    )
    if times == 1:
        return made
    return made.resize(turn.size, _REDUCTIONS[int(rng.integers(len(_REDUCTIONS)))])


def _times(size: _Size, times: int) -> _Size:
    return size[0] * times, size[1] * times


def _by_opencv(rng: np.random.Generator, photo: Image.Image, turn: _Turn) -> Image.Image:
    made = cv2.warpAffine(
        np.asarray(photo), np.array(turn.affine).reshape(2, 3), turn.size,
        flags=_OF_OPENCV[int(rng.integers(len(_OF_OPENCV)))] | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(turn.ground,) * 3,
    )  # fmt: skip
    return Image.fromarray(made)


def _by_splines(rng: np.random.Generator, photo: Image.Image, turn: _Turn) -> Image.Image:
    along, across, right, *_, down = turn.affine
    order = _SPLINES[int(rng.integers(len(_SPLINES)))]
    # By row and column; a spline overshoots, so it is clipped.
    planes = [
        ndimage.affine_transform(
            plane, [[along, -across], [across, along]], (down, right), turn.size[::-1],
            np.float32, order, "constant", turn.ground,
        )
        for plane in np.moveaxis(np.asarray(photo, np.float32), 2, 0)
    ]  # fmt: skip
    return Image.fromarray(np.stack(planes, axis=2).round().clip(0, 255).astype(np.uint8))
