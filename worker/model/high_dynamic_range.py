"""High dynamic range: PQ and HLG (ITU-R BT.2100) to what a browser shows of them on an ordinary screen.

The curves are BT.2100's; the tone mapping is Chromium's for a screen without headroom, read off what it
shows of ramps: up to the reference white of 203 cd/m2 (BT.2408) all is shown at half its light, and what is
brighter is bent so that 1,000 cd/m2 is white. It scales a colour by its largest component, so that hues stay.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PQ, HLG = 16, 18  # transfer functions, by their numbers in ITU-T H.273

_REFERENCE_WHITE = 203.0  # cd/m2
_LUMINANCE = np.array((0.2126, 0.7152, 0.0722))  # of sRGB's primaries
_PEAK = 1000.0  # cd/m2, of HLG and of PQ without metadata
# Light, in reference whites, and what is shown of it.
_LIGHT = np.array((0, 1, 1.158, 1.558, 2.089, 2.794, 3.731, _PEAK / _REFERENCE_WHITE))
_SHOWN = np.array((0, 0.5, 0.565, 0.665, 0.760, 0.847, 0.922, 1))


def tone_mapped(image: Image.Image, transfer: int, to_srgb: NDArray[np.float64]) -> Image.Image:
    """RGB of sRGB, of an image of mode RGB or RGBA that is coded by PQ or HLG.

    Args:
        image: its colours as coded.
        transfer: `PQ` or `HLG`.
        to_srgb: float64 [3, 3], linear light of its primaries to that of sRGB's.

    """
    codes = np.asarray(image.convert("RGB"))
    light = np.maximum(_curve(transfer)[codes] @ to_srgb.T, 0)
    if transfer == HLG:  # BT.2100's system gamma
        light *= (light @ _LUMINANCE)[..., np.newaxis] ** 0.2 * (_PEAK / _REFERENCE_WHITE)
    brightest = light.max(axis=-1, keepdims=True)
    shown = light * (np.interp(brightest, _LIGHT, _SHOWN) / np.maximum(brightest, 1e-9))
    encoded = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return Image.fromarray((encoded * 255).round().clip(0, 255).astype(np.uint8))


@lru_cache(maxsize=2)
def _curve(transfer: int) -> NDArray[np.float64]:
    """Light of each of 256 codes, float64: in reference whites by PQ, of the scene from 0 to 1 by HLG."""
    code = np.arange(256) / 255
    if transfer == PQ:
        power = code ** (1 / 78.84375)
        ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        return np.asarray(10_000 / _REFERENCE_WHITE * ratio ** (1 / 0.1593017578125))
    bright = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(code <= 0.5, code * code / 3, bright)
