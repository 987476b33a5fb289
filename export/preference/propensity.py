"""Propensities: how likely a place in a list is looked at, found in the log itself or given."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from export.errors import DatasetError
from export.preference.clicks import POSITION_COLUMNS, Counts
from export.preference.log_rows import LogRows

Values = NDArray[np.float64]
_ROUNDS = 400
_ENOUGH = 1e-5


@dataclass(frozen=True)
class Propensities:
    """The chance that a position is looked at, in parts of the most looked-at one; `rule` says whence."""

    positions: NDArray[np.int64]
    values: Values
    rule: str

    def at(self, positions: NDArray[np.int64]) -> Values:
        """Of these positions [n]; those beyond what is known have the last known one's."""
        place = np.clip(np.searchsorted(self.positions, positions), 0, len(self.positions) - 1)
        found: Values = self.values[place]
        return found


def expectation_maximisation(counts: Counts, images: int) -> Propensities:
    """By expectation maximisation over the position-based model: a click is a look times an attraction.

    Wang et al., "Position Bias Estimation for Unbiased Learning to Rank in Personal Search" (WSDM 2018), with
    an attraction of each image's own in the place of their regression, drawn to the log's mean by two
    views' worth: images that are shown at several places are what tells the two apart.

    Raises:
        DatasetError: the log has one position alone, or positions that no image links.

    """
    positions, place = _linked(counts)
    shown, clicked = counts.shown.astype(float), counts.clicked.astype(float)
    mean = clicked.sum() / shown.sum()
    by_place, by_image = np.bincount(place, shown), np.bincount(counts.item, shown, images)
    look = np.bincount(place, clicked) / by_place
    look = np.clip(look / look.max(), 1e-4, 1 - 1e-6)
    attraction = np.full(images, min(0.5, 2 * mean))
    for _ in range(_ROUNDS):
        looks, attracts = look[place], attraction[counts.item]
        missed = (shown - clicked) / np.maximum(1 - looks * attracts, 1e-9)
        looked = clicked + missed * looks * (1 - attracts)
        attracted = clicked + missed * attracts * (1 - looks)
        before, look = look, np.bincount(place, looked) / by_place
        prior = attraction.mean()
        attraction = (np.bincount(counts.item, attracted, images) + 2 * prior) / (by_image + 2)
        look = np.clip(look, 1e-6, 1 - 1e-9)
        if np.abs(look - before).max() < _ENOUGH:
            break
    return Propensities(positions, look / look.max(), "expectation maximisation")


def intervention_harvesting(counts: Counts, images: int) -> Propensities:
    """By intervention harvesting: clicks on the same image at two places compare the places.

    Agarwal et al., "Estimating Position Bias without Intrusive Interventions" (WSDM 2019), all pairs: for
    each pair of positions the images shown at both, weighted so that both places see the same mixture of
    images; then the propensities that fit all ratios best in the logarithm, weighted by their clicks.

    Raises:
        DatasetError: as of `expectation_maximisation`.

    """
    positions, place = _linked(counts)
    size = len(positions)
    rate = coo_array((counts.clicked / counts.shown, (counts.item, place)), (images, size)).tocsr()
    shown = coo_array((counts.shown.astype(float), (counts.item, place)), (images, size)).tocsr()
    held = shown.copy()
    held.data[:] = 1
    rows: list[Values] = []
    ratios: list[float] = []
    weights: list[float] = []
    for one in range(size):
        for other in range(one + 1, size):
            both = (held[:, [one]].multiply(held[:, [other]])).tocoo().row
            if not len(both):
                continue
            weight = np.minimum(shown[both, [one] * len(both)], shown[both, [other] * len(both)])
            first = float(np.asarray(rate[both, [one] * len(both)]) @ weight)
            second = float(np.asarray(rate[both, [other] * len(both)]) @ weight)
            if first <= 0 or second <= 0:
                continue
            row = np.zeros(size)
            row[one], row[other] = 1, -1
            rows.append(row)
            ratios.append(np.log(first / second))
            weights.append(np.sqrt(1 / (1 / first + 1 / second)))
    if not rows:
        raise DatasetError("no image was clicked at two positions: name --propensities em, none or a FILE")
    scale = np.array(weights)
    logs = np.linalg.lstsq(np.stack(rows) * scale[:, None], np.array(ratios) * scale, rcond=None)[0]
    return Propensities(positions, np.exp(logs - logs.max()), "intervention harvesting")


def read_propensities(path: Path) -> Propensities:
    """Given ones: a table with a column for the position and one for its propensity in (0, 1].

    Raises:
        DatasetError: it is no such table, or a value is not in (0, 1].

    """
    table = LogRows(path)
    place = table.column(None, POSITION_COLUMNS, "the position")
    value = table.column(None, ("propensity", "examination", "probability"), "the propensity")
    held: dict[int, float] = {}
    for block in table.blocks([place, value]):
        for position, given in zip(block[place].to_pylist(), block[value].to_pylist(), strict=True):
            try:
                held[int(position)] = float(given)
            except (TypeError, ValueError):
                raise DatasetError(
                    f"{path}: {position!r}, {given!r} are no position and propensity"
                ) from None
    if bad := [position for position, given in held.items() if not 0 < given <= 1]:
        raise DatasetError(f"{path}: the propensity of position {bad[0]} is {held[bad[0]]}, not in (0, 1]")
    positions = np.array(sorted(held), np.int64)
    values = np.array([held[int(position)] for position in positions])
    return Propensities(positions, values / values.max(), "given")


def _linked(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions, and each row's place among them; an error where images do not link them."""
    positions, place = np.unique(counts.position, return_inverse=True)
    if len(positions) < 2:
        raise DatasetError(
            f"the log shows images at position {positions[0]} alone: nothing tells how much a position does. "
            "Name --propensities none to count clicks as they are, or a FILE with given ones"
        )
    items, own = np.unique(counts.item, return_inverse=True)
    links = coo_array((np.ones(len(own)), (own, len(items) + place)), (len(items) + len(positions),) * 2)
    groups, label = connected_components(links, directed=False)
    if groups > 1:
        apart = positions[label[len(items) :] != label[len(items)]]
        raise DatasetError(
            f"no image stands both at positions {', '.join(map(str, apart[:10]))} and at the others: how "
            "much each position does cannot be told from this log. Shuffle a few lists, give "
            "--propensities FILE, or name --propensities none"
        )
    return positions, place
