"""Ratings: a table of what raters gave images, to pairs within each rater and one relevance an image.

A rater's own numbers are compared with each other alone: one who gives 5 to everything, or counts from 1 to
100, shifts nobody else's order.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import DatasetError
from export.preference.ranking import Values
from export.preference.ranknet import Pairs, draw_within


@dataclass(frozen=True)
class Ratings:
    """One row a rating: the image's row, the rater's number, and what was given; `skipped` by reason."""

    image: NDArray[np.int64]
    rater: NDArray[np.int64]
    value: Values
    skipped: Mapping[str, int]

    def of_images(self, kept: NDArray[np.int64]) -> "Ratings":
        """The ratings of these images, which are numbered anew in their order."""
        place = np.full(int(max(self.image.max(initial=0), kept.max(initial=0))) + 1, -1)
        place[kept] = np.arange(len(kept))
        found = place[self.image]
        held = found >= 0
        return Ratings(found[held], self.rater[held], self.value[held], {})

    def relevance(self, images: int) -> Values:
        """An image's mean rating [images], each rater's brought to the mean and spread of all; NaN: none."""
        mean, spread = _by_rater(self)
        whole_mean, whole_spread = self.value.mean(), self.value.std()
        several = len(mean) > 1
        level = (self.value - mean[self.rater]) / spread[self.rater] * whole_spread + whole_mean
        given = level if several else self.value
        with np.errstate(invalid="ignore"):
            found: Values = np.bincount(self.image, given, images) / np.bincount(self.image, minlength=images)
        return found


def read_ratings(rows: list[tuple[int, str, str]]) -> Ratings:
    """Ratings from (image's row, rater, text of the rating).

    Raises:
        DatasetError: no rating can be used, or all are alike.

    """
    skipped: Counter[str] = Counter()
    images, raters, values = [], [], []
    numbers: dict[str, int] = {}
    for image, rater, text in rows:
        try:
            value = float(text)
        except ValueError:
            skipped["no rating" if not text.strip() else "rating is no number"] += 1
            continue
        if not np.isfinite(value):
            skipped["rating is not finite"] += 1
            continue
        images.append(image)
        raters.append(numbers.setdefault(rater, len(numbers)))
        values.append(value)
    found = Ratings(np.array(images, np.int64), np.array(raters, np.int64), np.array(values, float), skipped)
    told = ", ".join(f"{count} x {reason}" for reason, count in skipped.items()) or "none left out"
    if len(found.value) < 2:
        raise DatasetError(
            f"preference needs at least two ratings, and there are {len(found.value)} ({told})"
        )
    _, spread = _by_rater(found, least=0.0)
    if not spread.any():
        raise DatasetError(
            f"every rater gave all images the same: {len(found.value)} ratings without an order teach nothing"
        )
    return found


def rated_pairs(ratings: Ratings, count: int, seed: int) -> Pairs:
    """Up to `count` pairs, both images rated by one rater: 1 where the first is better, 0.5 where alike.

    Raters weigh by the number of their ratings.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(ratings.rater, kind="stable")
    image, value, rater = ratings.image[order], ratings.value[order], ratings.rater[order]
    one, other, _ = draw_within(rater, count, rng)
    if not len(one):
        raise DatasetError("no rater rated two images: pairs are made within a rater, so there are none")
    apart = image[one] != image[other]
    one, other = one[apart], other[apart]
    target = np.where(value[one] == value[other], 0.5, value[one] > value[other]).astype(np.float32)
    return Pairs(image[one], image[other], target, np.ones(len(one), np.float32))


def _by_rater(ratings: Ratings, least: float = 1e-9) -> tuple[Values, Values]:
    """Mean and spread of each rater's ratings."""
    shown = np.bincount(ratings.rater)
    mean = np.bincount(ratings.rater, ratings.value) / shown
    square = np.bincount(ratings.rater, (ratings.value - mean[ratings.rater]) ** 2) / shown
    return mean, np.maximum(np.sqrt(square), least)
