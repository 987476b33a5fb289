"""What people said of images, as pairs to learn from and grades to measure by: ratings or clicks."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.errors import DatasetError
from export.preference.bias import BiasReport, bias_report
from export.preference.click_models import (
    Attraction,
    by_position,
    dependent,
    likelihood_by_position,
    likelihood_dependent,
)
from export.preference.click_pairs import pairs_by_inverse, pairs_by_order, pairs_by_rates
from export.preference.clicks import ClickLog, Counts, Rows
from export.preference.propensity import (
    Propensities,
    expectation_maximisation,
    intervention_harvesting,
    read_propensities,
)
from export.preference.ranking import HIGHEST_GRADE, Values, grades
from export.preference.ranknet import Pairs
from export.preference.ratings import Ratings, rated_pairs

PAIRS = 300_000
_HELD_LISTS = 5  # one list in so many chooses between click models


@dataclass(frozen=True)
class Feedback:
    """Pairs of training images; grades of held ones [held], NaN where none; what to tell of it."""

    pairs: Pairs
    held_grades: Values
    figures: dict[str, JsonValue]
    bias: BiasReport | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


def from_ratings(ratings: Ratings, train: NDArray[np.int64], held: NDArray[np.int64], seed: int) -> Feedback:
    """Pairs within each rater over the rows `train`, grades of the rows `held`.

    Raises:
        DatasetError: no rater rated two of the training images.

    """
    images = int(max(train.max(), held.max(initial=0))) + 1
    relevance = ratings.relevance(images)
    known = relevance[np.isfinite(relevance)]
    return Feedback(
        rated_pairs(ratings.of_images(train), PAIRS, seed),
        grades(relevance[held], float(known.min()), float(known.max())),
        {
            "ratings": len(ratings.value),
            "raters": int(ratings.rater.max()) + 1,
            "images rated": len(known),
        },
        skipped=ratings.skipped,
    )


def from_clicks(
    log: ClickLog, train: NDArray[np.int64], held: NDArray[np.int64], arguments: argparse.Namespace
) -> Feedback:
    """Pairs of training images that one list showed, freed of the place as --propensities asks.

    Raises:
        DatasetError: no list shows two training images, or the places cannot be told from the images.

    """
    images = int(max(train.max(), held.max(initial=0))) + 1
    place = np.full(images, -1)
    place[train] = np.arange(len(train))
    counts, rows = _of_images(log, place)
    if not counts.clicked.any():
        raise DatasetError("no training image was clicked: give a longer log, or other --images")
    estimates, told = _estimates(counts, len(train), arguments.propensities)
    served = next(iter(estimates.values()))
    attraction, chosen = _attraction(rows, counts, served, len(train), arguments)
    if arguments.weighting == "inverse":
        looked = served.at(rows.position)
        pairs = pairs_by_inverse(rows, looked, arguments.clip, PAIRS, arguments.seed)
    elif arguments.weighting == "order":
        pairs = pairs_by_order(attraction.clicks, attraction.looks, PAIRS, arguments.seed)
    else:
        pairs = pairs_by_rates(rows, attraction.rates(), PAIRS, arguments.seed)
    report = bias_report(counts, len(train), attraction.rates(), estimates, served)
    whole, _ = _of_images(log, np.arange(images))
    figures: dict[str, JsonValue] = {
        "images shown": log.shown,
        "clicks": int(log.counts.clicked.sum()),
        "share of lists drawn": round(log.lists_drawn, 4),
        "propensities": served.rule,
        "click model": attraction.rule,
        **told,
        **chosen,
        **report.figures(),
    }
    return Feedback(pairs, _held_grades(whole, served, images, held), figures, report, log.skipped)


def _estimates(
    counts: Counts, images: int, asked: str
) -> tuple[dict[str, Propensities], dict[str, JsonValue]]:
    """The propensities asked for first, and beside them what else the log gives."""
    flat = Propensities(counts.positions(), np.ones(len(counts.positions())), "none: clicks as they are")
    estimators = {"em": expectation_maximisation, "harvest": intervention_harvesting}
    if asked in estimators:
        found = {asked: estimators[asked](counts, images)}
    elif asked == "none":
        found = {"none": flat}
    else:
        found = {"given": read_propensities(Path(asked))}
    told: dict[str, JsonValue] = {}
    for name, estimate in estimators.items():
        if name in found:
            continue
        try:
            found[name] = estimate(counts, images)
        except DatasetError as error:
            told[f"propensities by {name}"] = f"none: {error}"
    return found, told


def _attraction(
    rows: Rows, counts: Counts, served: Propensities, images: int, arguments: argparse.Namespace
) -> tuple[Attraction, dict[str, JsonValue]]:
    """By the click model asked for, or by the one that foretells held-back lists better."""
    own = by_position(counts, served, images, arguments.clip)
    if arguments.propensities == "none" or arguments.click_model == "position":
        return own, {}
    if arguments.click_model == "dependent":
        return dependent(rows, images).attraction, {}
    held = rows.list % _HELD_LISTS == 0
    if not held.any() or held.all():
        return own, {}
    known, unknown = rows.where(~held), rows.where(held)
    place = by_position(Counts.of(known), served, images, arguments.clip)
    likelihood = {
        "position": likelihood_by_position(unknown, served, place.rates()),
        "dependent": likelihood_dependent(unknown, dependent(known, images)),
    }
    told: dict[str, JsonValue] = {
        f"log-likelihood of held lists, {name}": round(value, 5) for name, value in likelihood.items()
    }
    better = likelihood["dependent"] > likelihood["position"]
    return (dependent(rows, images).attraction if better else own), told


def _of_images(log: ClickLog, place: NDArray[np.int64]) -> tuple[Counts, Rows]:
    """Counts and rows of the images that have a place, numbered by it."""
    kept, shown = place[log.counts.item] >= 0, place[log.rows.item] >= 0
    own = log.counts
    counts = Counts(place[own.item[kept]], own.position[kept], own.shown[kept], own.clicked[kept])
    rows = log.rows.where(shown)
    return counts, Rows(rows.list, place[rows.item], rows.position, rows.clicked)


def _held_grades(counts: Counts, served: Propensities, images: int, held: NDArray[np.int64]) -> Values:
    """Clicks a look of the held images as grades 0 to 4 by rank: what can be known of them without labels."""
    attraction = by_position(counts, served, images, 0.01)
    rates = np.where(attraction.looks > 0, attraction.rates(), np.nan)[held]
    seen = np.isfinite(rates)
    found = np.full(len(held), np.nan)
    order = rates[seen].argsort().argsort() / max(1, seen.sum() - 1)
    found[seen] = order**2 * HIGHEST_GRADE
    return found
