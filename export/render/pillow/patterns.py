"""Printed patterns: stripes, checks, dots, waves, zigzag, confetti, hearts, stars, in two tones."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
_Grid = tuple[Field, Field]


def _where(mask: NDArray[np.bool_]) -> Field:
    return mask.astype(np.float32)


def _turned(rng: np.random.Generator, grid: _Grid, angles: tuple[float, ...]) -> _Grid:
    angle = np.deg2rad(float(rng.choice(angles)) + float(rng.normal(0, 2)))
    x, y = grid
    turned_x = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    turned_y = (y * np.cos(angle) - x * np.sin(angle)).astype(np.float32)
    return turned_x, turned_y


def _stripes(rng: np.random.Generator, grid: _Grid, period: float) -> Field:
    x, _ = _turned(rng, grid, (0.0, 90.0, 45.0, -45.0, 30.0, -60.0))
    return _where(x / period % 1.0 < float(rng.uniform(0.15, 0.85)))


def _checks(rng: np.random.Generator, grid: _Grid, period: float) -> Field:
    x, y = _turned(rng, grid, (0.0, 0.0, 45.0))
    share = float(rng.uniform(0.1, 0.6))
    columns, rows = x / period % 1.0 < share, y / period % 1.0 < share
    if rng.random() < 0.5:
        return (columns ^ rows).astype(np.float32)
    return ((columns.astype(np.float32) + rows) / 2).astype(np.float32)  # gingham


def _dots(rng: np.random.Generator, grid: _Grid, period: float) -> Field:
    x, y = _turned(rng, grid, (0.0, 45.0))
    shift = period / 2 * (np.floor(y / period) % 2)
    across, along = (x + shift) % period - period / 2, y % period - period / 2
    return _where(np.hypot(across, along) < period * float(rng.uniform(0.1, 0.45)))


def _waves(rng: np.random.Generator, grid: _Grid, period: float) -> Field:
    x, y = _turned(rng, grid, (0.0, 90.0))
    bend = period * float(rng.uniform(0.2, 0.8))
    wave = np.sin(x * 2 * np.pi / (period * float(rng.uniform(1, 4))))
    if rng.random() < 0.5:
        wave = 2 * np.abs(x / period % 1.0 - 0.5)  # zigzag
    return _where((y + bend * wave) / period % 1.0 < float(rng.uniform(0.2, 0.7)))


def _rays(rng: np.random.Generator, grid: _Grid, _period: float) -> Field:
    x, y = grid
    centre = float(rng.uniform(0.2, 0.8)) * x.max(), float(rng.uniform(0.1, 0.9)) * y.max()
    turn = np.arctan2(y - centre[1], x - centre[0])
    count = int(rng.integers(6, 30))
    return _where(turn / (2 * np.pi) * count % 1.0 < 0.5)


def _confetti(rng: np.random.Generator, grid: _Grid, period: float) -> Field:
    x, y = grid
    covered = np.zeros_like(x)
    for _ in range(int(rng.integers(15, 60))):
        left, top = float(rng.random()) * x.max(), float(rng.random()) * y.max()
        radius = period * float(rng.uniform(0.08, 0.4))
        across, along = np.abs(x - left) / radius, np.abs(y - top) / radius
        power = float(rng.choice([0.7, 1.0, 2.0, 4.0]))  # star, diamond, disc, square
        covered = np.maximum(covered, (across**power + along**power < 1).astype(np.float32))
    return covered


_PATTERNS: tuple[Callable[[np.random.Generator, _Grid, float], Field], ...] = (
    _stripes,
    _stripes,
    _checks,
    _dots,
    _waves,
    _rays,
    _confetti,
)


def pattern(rng: np.random.Generator, width: int, height: int) -> Field:
    """How much of the second tone each pixel has: float32 [height, width] in [0, 1]."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    period = float(np.exp(rng.uniform(np.log(0.02), np.log(0.35)))) * min(width, height)
    draw = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    return draw(rng, (columns, rows), max(6.0, period))
