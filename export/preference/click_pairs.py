"""Pairs from clicks: images that one list showed, and which of the two is liked better."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, ndtr, polygamma

from export.errors import DatasetError
from export.preference.clicks import Rows
from export.preference.ranknet import Pairs, draw_within

Values = NDArray[np.float64]
Weighting = Literal["rates", "inverse", "order"]
_LEAST_LOOKS = 0.1


def pairs_by_rates(rows: Rows, rates: Values, count: int, seed: int) -> Pairs:
    """Up to `count` pairs of images of one list, from each image's clicks a look, `rates` [images].

    The sum over a list's pairs of r_i C(i before j) + r_j C(j before i): one RankNet pair with the target
    r_i / (r_i + r_j) and the weight r_i + r_j. It is least where utilities differ by log r_i - log r_j.

    Raises:
        DatasetError: no list shows two images.

    """
    one, other, _ = draw_within(rows.list, count, np.random.default_rng(seed))
    first, second = _apart(rows, one, other)
    both = rates[first] + rates[second]
    return Pairs(first, second, (rates[first] / both).astype(np.float32), both.astype(np.float32))


def pairs_by_inverse(rows: Rows, looked: Values, clip: float, count: int, seed: int) -> Pairs:
    """As published: each click against the others of its list, weighted by the inverse of its propensity.

    Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback" (WSDM 2017), with
    RankNet's cost in the place of their hinge.

    Args:
        rows: of lists.
        looked: chance [rows] that each row's place was looked at.
        clip: the least chance that counts: a click in a place that is hardly looked at would outweigh all.
        count: pairs to draw.
        seed: of the draw.

    Raises:
        DatasetError: no list with a click shows two images.

    """
    share = np.where(rows.clicked, 1 / np.maximum(looked, clip), 0.0)
    one, other, size = draw_within(rows.list, count, np.random.default_rng(seed), share)
    weight = (size - 1).astype(np.float32)
    first, second = _apart(rows, one, other)
    kept = rows.item[one] != rows.item[other]
    return Pairs(first, second, np.ones(len(first), np.float32), weight[kept])


def pairs_by_order(clicks: Values, looks: Values, count: int, seed: int) -> Pairs:
    """Pairs of any two images, of one list or not: the chance that the first has more clicks a look.

    What the log says of an image's clicks a look is a gamma distribution (of a Poisson rate, by Jeffreys'
    prior), whose logarithm is taken for normal. A pair weighs |2 P - 1|: images that the log does not tell
    apart are no tie. So each image counts alike, however often it was shown; only where all searches ask for
    the same kind of thing are images of different ones to be compared.

    Args:
        clicks: of each image, float64 [images].
        looks: how often it was looked at by the click model, float64 [images].
        count: pairs to draw.
        seed: of the draw.

    Raises:
        DatasetError: fewer than two images were looked at.

    """
    seen = np.flatnonzero(looks > 0)
    if len(seen) < 2:
        raise DatasetError("the log shows fewer than two of the images: clicks compare none")
    first, second = seen[np.random.default_rng(seed).integers(len(seen), size=(2, count))]
    first, second = first[first != second], second[first != second]
    level = digamma(clicks + 0.5) - np.log(np.maximum(looks, _LEAST_LOOKS))
    variance = polygamma(1, clicks + 0.5)
    target = ndtr((level[first] - level[second]) / np.sqrt(variance[first] + variance[second]))
    weight = np.abs(2 * target - 1)
    return Pairs(first, second, target.astype(np.float32), weight.astype(np.float32))


def _apart(
    rows: Rows, one: NDArray[np.int64], other: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = rows.item[one], rows.item[other]
    kept = first != second
    if not kept.any():
        raise DatasetError("no list shows two images, so that clicks compare none: is the list column right?")
    return first[kept], second[kept]
