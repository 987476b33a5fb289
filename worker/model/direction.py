"""Direction: numbers of the luminance that tell a turned picture, or one mixed anew of others' pixels.

A quarter turn, a mirror and so how a photo is stored change none of them.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import MEASURES, Measure

DIFFERENCES = frozenset(measure for measure in MEASURES if "_difference" in measure)
DIRECTIONS = frozenset(measure for measure in MEASURES if measure.startswith("direction_"))
# The longer side, in pixels, of the whole picture that directions are taken of.
SIDE = 128
_HIGHER_AXIS_DIFFERENCES: tuple[Measure, ...] = (
    "axis_difference_2", "axis_difference_3", "axis_difference_4",
)  # fmt: skip
# Scharr's filter (Optimale Operatoren in der Digitalen Bildverarbeitung, Heidelberg, 2000): the one of 3 x 3
# pixels whose directions are least wrong.
_SCHARR = (3, 10)  # beside the middle, and in it


def differences(luminance: NDArray[np.uint8]) -> dict[Measure, float]:
    """Root mean squares of finite differences between neighbours of uint8 [rows, columns], in grey levels.

    `axis_difference_n` is of order n, along rows and along columns; `diagonal_difference_n` is along both
    diagonals; `mixed_difference` is the first along rows of the first along columns. They sample the
    spectrum (Field, "Relations between the statistics of natural images", JOSA A 4(12), 1987) at its fine
    end, along the axes and between them: where pixels are mixed anew, that end falls. What has no neighbours
    gives 0.
    """
    values = luminance.astype(np.int16)
    room = np.empty(values.size, np.float32)  # one for all: fresh pages cost more than the arithmetic
    falling, rising = values[1:, 1:] - values[:-1, :-1], values[1:, :-1] - values[:-1, 1:]
    found: dict[Measure, float] = {
        "diagonal_difference_1": _root_mean_square(room, falling, rising),
        "diagonal_difference_2": _root_mean_square(
            room, falling[1:, 1:] - falling[:-1, :-1], rising[1:, :-1] - rising[:-1, 1:]
        ),
    }
    across, down = values[:, 1:] - values[:, :-1], values[1:] - values[:-1]
    found["mixed_difference"] = _root_mean_square(room, across[1:] - across[:-1])
    found["axis_difference_1"] = _root_mean_square(room, across, down)
    for measure in _HIGHER_AXIS_DIFFERENCES:
        across, down = across[:, 1:] - across[:, :-1], down[1:] - down[:-1]
        found[measure] = _root_mean_square(room, across, down)
    return found


def _root_mean_square(room: NDArray[np.float32], *parts: NDArray[np.int16]) -> float:
    count = sum(part.size for part in parts)
    total = 0.0
    for part in parts:
        values = room[: part.size]
        np.copyto(values, part.ravel())
        total += float(np.vdot(values, values))
    return float(np.sqrt(total / count)) if count else 0.0


def directions(luminance: NDArray[np.uint8]) -> dict[Measure, float]:
    """How the gradients of uint8 [rows, columns] lie to the axes, each weighed by its length.

    `direction_cosine_n` and `direction_sine_n` are trigonometric moments (Mardia and Jupp, "Directional
    Statistics", 2000) of n times four times the direction, which is the same after a quarter turn: the mean
    cosine, 1 where all edges lie along the axes, and the size of the mean sine, 0 there and where as much
    leans one way as the other. The lengths add up to one grey level at least: without edges all is 0.
    """
    gradients = _gradients(luminance.astype(np.float32))
    lengths = np.abs(gradients)
    total = max(float(lengths.sum(dtype=np.float64)), 1.0)
    units = gradients * np.reciprocal(np.maximum(lengths, np.float32(1e-6)))
    once = np.square(np.square(units))
    twice = np.square(once)
    first, second, fourth = (
        complex(np.vdot(lengths, turned)) / total for turned in (once, twice, np.square(twice))
    )
    return {
        "direction_cosine_1": first.real,
        "direction_cosine_2": second.real,
        "direction_cosine_4": fourth.real,
        "direction_sine_1": abs(first.imag),
        "direction_sine_2": abs(second.imag),
        "direction_sine_4": abs(fourth.imag),
    }


def _gradients(values: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Grey levels a pixel to the right, and down as the imaginary part, of all but the outermost pixels."""
    across, down = values[:, 2:] - values[:, :-2], values[2:] - values[:-2]
    beside, middle = _SCHARR
    found = np.empty(across[1:-1].shape, np.complex64)
    share = 1 / (2 * (2 * beside + middle))
    found.real = (beside * (across[:-2] + across[2:]) + middle * across[1:-1]) * share
    found.imag = (beside * (down[:, :-2] + down[:, 2:]) + middle * down[:, 1:-1]) * share
    return found
