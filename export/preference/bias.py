"""The bias report: how much of the clicks the place in the list alone explains, and how much the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.stats import spearmanr

from export.preference.clicks import Counts
from export.preference.propensity import Propensities

Values = NDArray[np.float64]


@dataclass(frozen=True)
class BiasReport:
    """Shares of the clicks' deviance explained (McFadden), and order against place.

    `by_position` holds shown, click rate and each estimate of the propensity, by position. `rank_before` and
    `rank_after` are Spearman's correlation of an image's mean place with its clicks a view, and with its
    clicks a look: what is left of the place after the correction.
    """

    position_alone: float
    image_alone: float
    both: float
    rank_before: float
    rank_after: float
    by_position: list[dict[str, float]]

    def figures(self) -> dict[str, JsonValue]:
        """For the card."""
        return {
            "clicks explained by position alone": round(self.position_alone, 4),
            "by the image alone": round(self.image_alone, 4),
            "by both": round(self.both, 4),
            "correlation of place and clicks": round(self.rank_before, 4),
            "after the correction": round(self.rank_after, 4),
        }


def bias_report(
    counts: Counts, images: int, rates: Values, estimates: dict[str, Propensities], served: Propensities
) -> BiasReport:
    """See the class. `rates` [images] are clicks a look, under the model that was taken."""
    positions, place = np.unique(counts.position, return_inverse=True)
    shown, clicked = counts.shown.astype(float), counts.clicked.astype(float)
    views, own_clicks = np.bincount(counts.item, shown, images), np.bincount(counts.item, clicked, images)
    by_place = np.bincount(place, clicked) / np.bincount(place, shown)
    by_image = (own_clicks + 2 * clicked.sum() / shown.sum()) / (views + 2)
    seen = views > 0
    mean_place = np.bincount(counts.item, counts.position * shown, images)[seen] / views[seen]
    attraction = own_clicks / np.maximum(
        np.bincount(counts.item, served.at(counts.position) * shown, images), 1e-9
    )
    return BiasReport(
        position_alone=_explained(counts, by_place[place]),
        image_alone=_explained(counts, by_image[counts.item]),
        both=_explained(counts, served.at(counts.position) * attraction[counts.item]),
        rank_before=_rank(mean_place, (own_clicks / np.maximum(views, 1))[seen]),
        rank_after=_rank(mean_place, rates[seen]),
        by_position=[
            {
                "position": int(position), "shown": float(np.bincount(place, shown)[at]),
                "click rate": float(by_place[at]),
                **{name: float(own.at(positions[at : at + 1])[0]) for name, own in estimates.items()},
            }
            for at, position in enumerate(positions)
        ],
    )  # fmt: skip


def _explained(counts: Counts, chance: Values) -> float:
    """1 minus the deviance of these chances over that of one chance for all."""
    whole = np.full(len(chance), counts.clicked.sum() / counts.shown.sum())
    return 1 - _deviance(counts, chance) / _deviance(counts, whole)


def _deviance(counts: Counts, chance: Values) -> float:
    inside = np.clip(chance, 1e-6, 1 - 1e-6)
    return float(
        -(counts.clicked * np.log(inside) + (counts.shown - counts.clicked) * np.log1p(-inside)).sum()
    )


def _rank(one: Values, other: Values) -> float:
    if len(set(one.tolist())) < 2 or len(set(other.tolist())) < 2:
        return 0.0
    return float(spearmanr(one, other).statistic)
