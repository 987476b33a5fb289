"""Simulated raters and shoppers over real photos: a hidden utility that is stated, clicks that are biased.

There are no open ratings or click logs of marketplace photos. What is measured here is whether the learner
finds a utility that it is not told, through the bias of a list.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from export.preference.clicks import Rows

Values = NDArray[np.float64]
ClickModel = Literal["position", "cascade", "noise"]
CLICK_MODELS: tuple[ClickModel, ...] = ("position", "cascade", "noise")
HIGHEST = 4
LENGTH = 10  # images a list shows
_FLOOR = 0.02  # clicks on what nobody wants
_NOISE, _STRAY = 0.1, 0.01  # of the noisy shopper: on what nobody wants, and anywhere


def appearance_of(images: NDArray[np.uint8]) -> dict[str, Values]:
    """Plain measures of uint8 [n, side, side, 3], each standardised: what hidden utilities are made of."""
    pixels = images.astype(np.float64) / 255
    red, green, blue = np.moveaxis(pixels, -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    side = images.shape[1]
    ring = np.ones((side, side), bool)
    ring[side // 6 : -side // 6, side // 6 : -side // 6] = False
    border = pixels[:, ring]
    found = {
        "light": light.mean(axis=(1, 2)),
        "contrast": light.std(axis=(1, 2)),
        "colour": (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2)),
        "warmth": (red - blue).mean(axis=(1, 2)),
        "calm border": -border.std(axis=1).mean(axis=1),
        "light in the middle": light[:, ~ring].mean(axis=1) - light[:, ring].mean(axis=1),
    }
    return {name: (values - values.mean()) / values.std() for name, values in found.items()}


def clean(looks: dict[str, Values], labels: NDArray[np.str_]) -> Values:
    """A hidden utility: light, colourful photos on a calm ground."""
    del labels
    return looks["light"] + 0.8 * looks["colour"] + 0.8 * looks["calm border"] + 0.3 * looks["contrast"]


def taste(looks: dict[str, Values], labels: NDArray[np.str_]) -> Values:
    """Another one: some kinds of goods, and warm colours in strong contrast."""
    rng = np.random.default_rng(5)
    liked = {
        str(label): float(value)
        for label, value in zip(sorted(set(labels)), rng.normal(size=len(set(labels))), strict=True)
    }
    own = np.array([liked[str(label)] for label in labels])
    return own + 0.8 * looks["warmth"] + 0.8 * looks["contrast"]


UTILITIES: dict[str, Callable[[dict[str, Values], NDArray[np.str_]], Values]] = {
    "clean": clean,
    "taste": taste,
}


def ordering(looks: dict[str, Values], seed: int) -> Values:
    """What a shop orders by [images]: a drawn mix of looks, and half as much for no reason."""
    rng = np.random.default_rng([seed, 17])
    weights = rng.normal(size=len(looks))
    mix: Values = weights @ np.stack(list(looks.values()))
    found: Values = mix / mix.std() + 0.5 * rng.normal(size=len(mix))
    return found


def grade(utility: Values) -> Values:
    """Grades 0 to 4 by rank: half of all images 0, the best 4 % 4."""
    rank = utility.argsort().argsort() / len(utility)
    return np.searchsorted([0.5, 0.7, 0.85, 0.96], rank, "right").astype(float)


def rate(grades: Values, raters: int, seed: int) -> list[tuple[int, str, str]]:
    """Each image rated by two of `raters`, who differ in level, scale and mood: (image, rater, rating)."""
    rng = np.random.default_rng([seed, 11])
    level, scale = rng.normal(0, 1, raters), rng.uniform(0.7, 1.4, raters)
    found = []
    for image, own in enumerate(grades):
        for rater in rng.choice(raters, 2, replace=False):
            given = np.rint(level[rater] + scale[rater] * (own + rng.normal(0, 0.4)))
            found.append((image, f"rater {rater}", f"{given:g}"))
    return found


def shop(grades: Values, policy: Values, lists: int, model: ClickModel, seed: int) -> Rows:
    """Clicks on `lists` lists of LENGTH images, ordered by a policy that is not the utility.

    All that match a search are shown: what is never shown no propensity of a place can make up for.

    Args:
        grades: 0 to 4 of each image.
        policy: what the shop orders by [images]; each list adds noise of its spread.
        lists: how many.
        model: `position`: a place k is looked at with chance 1/k. `cascade`: looks from above and stops at
            the first click. `noise`: as `position`, clicks one in ten of unwanted images, and one in a
            hundred anywhere, looked at or not.
        seed: of everything.

    """
    rng = np.random.default_rng([seed, CLICK_MODELS.index(model)])
    floor = _NOISE if model == "noise" else _FLOOR
    attraction = floor + (0.9 - floor) * (np.exp2(grades) - 1) / (2**HIGHEST - 1)
    pool = rng.integers(len(grades), size=(lists, LENGTH))
    shown = policy[pool] + rng.normal(0, policy.std(), pool.shape)
    items = np.take_along_axis(pool, np.argsort(-shown, axis=1), axis=1)
    wanted = rng.random(items.shape) < attraction[items]
    if model == "cascade":
        clicked = wanted & (np.cumsum(wanted, axis=1) == 1)
    else:
        clicked = wanted & (rng.random(items.shape) < 1 / np.arange(1, LENGTH + 1))
        if model == "noise":
            clicked |= rng.random(items.shape) < _STRAY
    places = np.broadcast_to(np.arange(1, LENGTH + 1), items.shape)
    return Rows(
        np.repeat(np.arange(lists), LENGTH), items.ravel().astype(np.int64), places.ravel().astype(np.int64),
        clicked.ravel(),
    )  # fmt: skip
