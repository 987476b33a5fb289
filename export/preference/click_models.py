"""Click models: what a log says of each image once it is known which places were looked at.

`position`: a place is looked at with a chance of its own (Richardson et al., WWW 2007). `dependent`: people
look from above, and after a click go on with a chance that hangs on the place (Guo et al., WSDM 2009); with
no chance to go on it is the cascade (Craswell et al., WSDM 2008). The one that foretells held-back lists
better is taken.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.preference.clicks import Counts, Rows
from export.preference.propensity import Propensities

Values = NDArray[np.float64]
_PRIOR = 2.0  # views that an image's own clicks are weighed against
_LEAST = 1e-6


@dataclass(frozen=True)
class Attraction:
    """Of each image: clicks, and how often it was looked at by the model; `rule` names the model."""

    clicks: Values
    looks: Values
    rule: str

    def rates(self) -> Values:
        """Clicks a look [images], drawn to the mean of all by `_PRIOR` looks."""
        mean = self.clicks.sum() / max(self.looks.sum(), 1e-9)
        rates: Values = (self.clicks + _PRIOR * mean) / (self.looks + _PRIOR)
        return rates


@dataclass(frozen=True)
class DependentModel:
    """Chance to go on after a click at each place, float64 [places], and attractions [images]."""

    goes_on: Values
    attraction: Attraction


def by_position(counts: Counts, propensities: Propensities, images: int, clip: float) -> Attraction:
    """Looks are the sum of the propensities of the places where it was shown, none taken under `clip`.

    Dividing an image's clicks by the sum of their propensities, instead of adding up each click's inverse, is
    the self-normalised form of inverse propensity weighting (Swaminathan and Joachims, NIPS 2015): far less
    spread where a place is hardly looked at.
    """
    looks = np.maximum(propensities.at(counts.position), clip) * counts.shown
    return Attraction(
        np.bincount(counts.item, counts.clicked, images).astype(float),
        np.bincount(counts.item, looks, images).astype(float),
        f"position-based, {propensities.rule}",
    )


def dependent(rows: Rows, images: int) -> DependentModel:
    """From lists as they were shown: all down to the last click was looked at; without a click, all of it."""
    ordered = _ordered(rows)
    last = _last_clicks(ordered)
    looked = ordered.position <= last[ordered.list]
    clicked = ordered.clicked
    ends = clicked & (ordered.position == last[ordered.list])
    size = int(ordered.position.max()) + 1
    by_place = np.bincount(ordered.position, clicked, size)
    goes_on = 1 - (np.bincount(ordered.position, ends, size) + 0.5) / (by_place + 1)
    attraction = Attraction(
        np.bincount(ordered.item, clicked, images).astype(float),
        np.bincount(ordered.item, looked, images).astype(float),
        "dependent clicks",
    )
    return DependentModel(goes_on, attraction)


def likelihood_by_position(rows: Rows, propensities: Propensities, rates: Values) -> float:
    """Mean log-likelihood of a row's click under the position-based model."""
    # The largest rate that the two can share: propensities are in parts of the first place's.
    chance = np.clip(propensities.at(rows.position) * rates[rows.item], _LEAST, 1 - _LEAST)
    return float(np.where(rows.clicked, np.log(chance), np.log1p(-chance)).mean())


def likelihood_dependent(rows: Rows, model: DependentModel) -> float:
    """Mean log-likelihood of a row's click under the dependent model."""
    ordered = _ordered(rows)
    last = _last_clicks(ordered)
    rate = np.clip(model.attraction.rates()[ordered.item], _LEAST, 1 - _LEAST)
    own = np.where(ordered.clicked, np.log(rate), np.log1p(-rate))
    looked = ordered.position <= last[ordered.list]
    lists = len(last)
    after = np.bincount(ordered.list, np.where(looked, 0.0, np.log1p(-rate)), lists)
    place = np.clip(ordered.position, 0, len(model.goes_on) - 1)
    goes_on = np.clip(model.goes_on[place], _LEAST, 1 - _LEAST)
    ends = ordered.clicked & (ordered.position == last[ordered.list])
    total = own[looked].sum() + np.log(goes_on[ordered.clicked & ~ends]).sum()
    stop = np.log((1 - goes_on[ends]) + goes_on[ends] * np.exp(after[ordered.list[ends]]))
    return float((total + stop.sum()) / len(ordered))


def _ordered(rows: Rows) -> Rows:
    order = np.lexsort((rows.position, rows.list))
    return Rows(rows.list[order], rows.item[order], rows.position[order], rows.clicked[order])


def _last_clicks(rows: Rows) -> NDArray[np.int64]:
    """The place of each list's last click [lists]; past every place where there is none."""
    last = np.full(int(rows.list.max()) + 1, -1)
    np.maximum.at(last, rows.list[rows.clicked], rows.position[rows.clicked])
    last[last < 0] = np.iinfo(np.int64).max
    return last
