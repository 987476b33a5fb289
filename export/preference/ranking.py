"""How good an order is: NDCG@k with gains 2^rel - 1 and log2 discounts, and the pairs ranked right."""

import numpy as np
from numpy.typing import NDArray

from export.errors import DatasetError

Values = NDArray[np.float64]
HIGHEST_GRADE = 4.0
CURVE_AT = (10, 20, 50, 100)


def ndcg(relevance: Values, scores: Values, k: int) -> float:
    """Normalised discounted cumulative gain of the first k (Burges et al., 2005).

    Images of one score count as standing in the mean of all their orders, so that a constant score gains
    nothing from the order of the file.

    Args:
        relevance: grades [n], at least 0; the gain of one is 2^grade - 1.
        scores: [n]; the highest stands first.
        k: how many places count; all of n where there are fewer.

    """  # fmt: skip
    gains = np.exp2(relevance) - 1
    k = min(k, len(gains))
    discounts = np.zeros(len(gains))
    discounts[:k] = 1 / np.log2(np.arange(2, k + 2))
    order = np.argsort(-scores, kind="stable")
    _, tied = np.unique(-scores[order], return_inverse=True)
    mean_discount = np.bincount(tied, discounts) / np.bincount(tied)
    best = float(np.sort(gains)[::-1] @ discounts)
    return float(gains[order] @ mean_discount[tied]) / best if best > 0 else 1.0


def pairs_right(relevance: Values, scores: Values) -> float:
    """Share of the pairs of unequal relevance [n] that scores [n] order right; an equal score counts half.

    Raises:
        DatasetError: all images are equally relevant.

    """
    differs = np.subtract.outer(relevance, relevance)
    shown = np.subtract.outer(scores, scores)[differs > 0]
    if not len(shown):
        raise DatasetError("all held images are rated alike: there is no order to measure")
    return float(((shown > 0) + 0.5 * (shown == 0)).mean())


def grades(relevance: Values, low: float, high: float) -> Values:
    """Relevance as grades for `ndcg`: itself in 0 to 10, else spread from `low` to `high` over 0 to 4.

    A gain is 2^grade: percent or stars from minus to plus would make NDCG speak of one image alone.
    """  # fmt: skip
    if low >= 0 and high <= 10:
        return np.clip(relevance, 0, None)
    return np.clip((relevance - low) / max(high - low, 1e-12), 0, 1) * HIGHEST_GRADE
