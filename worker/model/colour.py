"""Colour: from the colours that a file says it holds to sRGB, by LittleCMS."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from worker.model.high_dynamic_range import HLG, PQ, tone_mapped

# Press profiles (CMYK) take 0.5 to 3 MB; what is longer is no profile that a browser would read.
MAX_PROFILE_BYTES = 4_000_000

# A transform that moves no colour by more than so many of 256 levels is left out.
_NOT_SEEN = 3

Transform = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Chromaticities:
    """CIE 1931 x and y of white and the three primaries."""

    white_x: float
    white_y: float
    red_x: float
    red_y: float
    green_x: float
    green_y: float
    blue_x: float
    blue_y: float


_SRGB = Chromaticities(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

# ITU-T H.273, tables 2 and 3. 1 is that of BT.709 and sRGB; BT.709's camera curve is shown as sRGB's.
_PRIMARIES = {
    4: Chromaticities(0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: Chromaticities(0.3127, 0.329, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    9: Chromaticities(0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: Chromaticities(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}


@dataclass(frozen=True)
class Colours:
    """What a file says of its colours; nothing stands for sRGB.

    An ICC profile; or the exponent that encoded values were made with (PNG's gAMA) and `chromaticities`;
    or `cicp`, the primaries and the transfer function by their numbers in ITU-T H.273.
    """

    icc: bytes | None = None
    gamma: float | None = None
    chromaticities: Chromaticities | None = None
    cicp: tuple[int, int] | None = None

    def transform(self, mode: str) -> Transform | None:
        """What turns an image of Pillow's `mode` into RGB, or RGBA, of sRGB; None where nothing is to do.

        Thread-safe. A damaged profile, or one of other channels than the image has, counts as none.
        """
        if self == PLAIN:
            return None
        if self.icc is None and self.cicp is not None and self.cicp[1] in {PQ, HLG}:
            to_srgb = np.linalg.inv(_primaries(_SRGB)) @ _primaries(_PRIMARIES.get(self.cicp[0], _SRGB))
            return partial(tone_mapped, transfer=self.cicp[1], to_srgb=to_srgb)
        profile = self._profile()
        if profile is None or len(profile) > MAX_PROFILE_BYTES:
            return None
        return _transform(profile, mode)

    def _profile(self) -> bytes | None:
        if self.icc is not None:
            return self.icc
        if self.cicp is not None:
            primaries = _PRIMARIES.get(self.cicp[0], _SRGB)
            return matrix_profile(primaries, _EXPONENTS.get(self.cicp[1]))
        if self.gamma is None or not 0.01 < self.gamma < 100:
            return None
        if self.chromaticities is None and abs(self.gamma - 1 / 2.2) < 0.001:
            return None  # how sRGB was said before there was a chunk for it
        try:
            return matrix_profile(self.chromaticities or _SRGB, 1 / self.gamma)
        except (ZeroDivisionError, OverflowError, struct.error, np.linalg.LinAlgError):
            return None  # chromaticities that are no colours


# sRGB.
PLAIN = Colours()


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Transform | None:
    """LittleCMS's transform: perceptual where the profile has tables for it, else by its matrix."""
    if profile[16:20] != {"L": b"GRAY", "CMYK": b"CMYK"}.get(mode, b"RGB "):
        return None
    # Without the cache of the last pixel a transform is not written to, so that threads may share it.
    flags = ImageCms.Flags.NOCACHE
    try:
        made = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            ImageCms.Intent.PERCEPTUAL,
            flags,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _is_not_seen(made, mode) else made.apply


def _is_not_seen(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    before = Image.fromarray(colours).convert(mode)
    after = np.asarray(transform.apply(before).convert("RGB"), np.int16)
    return bool(np.abs(after - np.asarray(before.convert("RGB"), np.int16)).max() <= _NOT_SEEN)


@lru_cache(maxsize=64)
def matrix_profile(chromaticities: Chromaticities, exponent: float | None) -> bytes:
    """An ICC profile (ICC.1:2010) of three primaries and one curve: a power, or sRGB's own for None."""
    curve = struct.pack(">4sIHH", b"para", 0, *((3, 0) if exponent is None else (0, 0)))
    curve += b"".join(map(_fixed, _SRGB_CURVE if exponent is None else (exponent,)))
    tags = {b"wtpt": _xyz(_D50)}
    for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), _primaries(chromaticities).T, strict=True):
        tags[name] = _xyz(primary)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, bodies, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x", at + len(bodies), b"", 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    return (header + b"".join(map(_fixed, _D50))).ljust(128, b"\0") + table + bodies


# IEC 61966-2-1 as a parametric curve of type 3: g, a, b, c, d.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_D50 = np.array((0.9642, 1.0, 0.8249))
# Bradford's cone responses, as ICC.1 annex E adapts to D50.
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def _primaries(said: Chromaticities) -> NDArray[np.float64]:
    """XYZ of the primaries, float64 [3, primary], adapted to D50."""
    columns = np.array([
        [x / y, 1.0, (1 - x - y) / y]
        for x, y in ((said.red_x, said.red_y), (said.green_x, said.green_y), (said.blue_x, said.blue_y))
    ]).T  # fmt: skip
    white = np.array([said.white_x, said.white_y, 1 - said.white_x - said.white_y]) / said.white_y
    scaled = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ scaled
    return adapted


def _fixed(value: float) -> bytes:
    """An s15Fixed16Number."""
    return struct.pack(">i", round(float(value) * 65536))


def _xyz(value: NDArray[np.float64]) -> bytes:
    return struct.pack(">4sI", b"XYZ ", 0) + b"".join(map(_fixed, value))
