"""`mekiki evaluate preference`: is a hidden utility found, from ratings and through biased clicks?

Each seed is a draw of everything: which senders are held back, by what the shop orders, raters, shoppers and
training. So no choice that was made in view of some held photos can help with all of them.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.data import Columns, data_digest, parse_source, read_sources
from export.embedding.part import read_encoder
from export.metrics import summary
from export.preference.clicks import ClickLog, Counts
from export.preference.clicks import Rows as Clicked
from export.preference.feedback import PAIRS, from_clicks
from export.preference.networks import PIXELS, VECTORS, build
from export.preference.pictures import Pictures, read_pictures
from export.preference.ranknet import Pairs
from export.preference.ratings import Ratings, rated_pairs, read_ratings
from export.preference.simulation import (
    CLICK_MODELS,
    UTILITIES,
    appearance_of,
    grade,
    ordering,
    rate,
    shop,
)
from export.preference.training import Inputs, RankSettings, measure, prepared, train_ranknet
from export.run import RunFolder, open_run
from export.training_split import SALT, split_in_two

Rows = NDArray[np.int64]
Values = NDArray[np.float64]
_CLIP = 0.02
# A gap between clicks as they are and true grades that is worth to be closed.
_GAP = 0.05


@dataclass(frozen=True)
class _Photos:
    """Photos as the network takes them, and what is asked of each training."""

    run: RunFolder
    pictures: Pictures
    inputs: Inputs
    dim: int
    lists: int
    settings: RankSettings


@dataclass(frozen=True)
class _Shop:
    """One draw: the photos to learn from, those held, and what the shop orders by [photos]."""

    photos: _Photos
    utility: str
    grades: Values
    seed: int
    train: Rows
    held: Rows
    policy: Values


def evaluate_preference(arguments: argparse.Namespace) -> int:
    """Measure, a line for each utility, seed and source of pairs; 0 when done.

    Raises:
        DatasetError: the photos cannot be used.
        PartError: --encoder is no embedding.

    """
    torch.set_num_threads(1)
    encoder = read_encoder(Path(arguments.encoder))
    dataset = read_sources([parse_source(source) for source in arguments.images], Columns())
    asked = {name: value for name, value in vars(arguments).items() if name not in {"func", "out"}}
    run = open_run(Path(arguments.out), asked, data_digest(dataset), resume=False)
    pictures = read_pictures(dataset, None, encoder, 0.1)
    inputs, dim = _prepared(pictures)
    settings = RankSettings.of(build("joint", dim), arguments.epochs)
    photos = _Photos(run, pictures, inputs, dim, arguments.lists, settings)
    labels = np.array([example.label for example in pictures.dataset.examples], dtype=str)
    looks = appearance_of(pictures.pixels)
    for name in arguments.utilities:
        grades = grade(UTILITIES[name](looks, labels))
        rows = [_one_seed(_drawn(photos, name, grades, looks, seed)) for seed in arguments.seeds]
        for source in sorted({source for row in rows for source in row}):
            values = [row[source] for row in rows if source in row]
            told = {key: round(value, 4) for key, value in summary(values).items()}
            run.log(phase="summary", epoch=0, utility=name, source=source, seeds=len(values), **told)
            print(f"{name}, {source}, {len(values)} seeds: {told}")  # noqa: T201 - what the command answers
    return 0


def _drawn(photos: _Photos, utility: str, grades: Values, looks: dict[str, Values], seed: int) -> _Shop:
    split = split_in_two(photos.pictures.dataset, "--images", f"{SALT}-{seed}")
    train, held = (
        np.array([photos.pictures.rows[example.name] for example in split[name].examples], np.int64)
        for name in ("train", "test")
    )
    return _Shop(photos, utility, grades, seed, train, held, ordering(looks, seed))


def _prepared(pictures: Pictures) -> tuple[Inputs, int]:
    """What the network takes of every photo, computed once for all trainings; the vectors' dimension."""
    assert pictures.vectors is not None
    dim = int(pictures.vectors.shape[1])
    rows = prepared(build("joint", dim), {PIXELS: pictures.pixels, VECTORS: pictures.vectors})
    return {name: values.numpy() for name, values in rows.items()}, dim


def _one_seed(shop_of: _Shop) -> dict[str, float]:
    """NDCG@100 of held photos by what was learned from; how much of a gap each correction closes."""
    own, seed = shop_of.grades[shop_of.train], shop_of.seed
    truth = Ratings(np.arange(len(own)), np.zeros(len(own), np.int64), own, {})
    found = {
        "ratings": _learned(shop_of, rated_pairs(read_ratings(rate(own, 8, seed)), PAIRS, seed), "ratings"),
        "true grades": _learned(shop_of, rated_pairs(truth, PAIRS, seed), "true"),
    }
    for model in CLICK_MODELS:
        rows = shop(own, shop_of.policy[shop_of.train], shop_of.photos.lists, model, seed)
        by_estimate = {how: _learned(shop_of, _pairs(rows, len(own), how, seed), f"{model}-{how}")
                       for how in ("none", "em", "harvest")}  # fmt: skip
        naive = by_estimate["none"]
        gap = found["true grades"] - naive
        found |= {f"{model}, {how}": value for how, value in by_estimate.items()} | {f"{model}, gap": gap}
        if gap >= _GAP:
            for how in ("em", "harvest"):
                found[f"{model}, {how}, share of the gap"] = (by_estimate[how] - naive) / gap
    return found


def _pairs(rows: Clicked, images: int, propensities: str, seed: int) -> Pairs:
    """As `mekiki train preference --clicks --weighting order` makes them of a log."""
    log = ClickLog(Counts.of(rows), rows, len(rows), {}, 1.0)
    asked = argparse.Namespace(
        propensities=propensities, click_model="auto", weighting="order", clip=_CLIP, seed=seed
    )
    return from_clicks(log, np.arange(images), np.empty(0, np.int64), asked).pairs


def _learned(shop_of: _Shop, pairs: Pairs, source: str) -> float:
    """NDCG@100 of held photos, of a network that learned from `pairs`."""
    photos, seed, phase = shop_of.photos, shop_of.seed, f"{source}-{shop_of.seed}"
    torch.manual_seed(seed)
    run = RunFolder(photos.run.path / "trainings" / shop_of.utility / phase)
    run.path.mkdir(parents=True)
    served = train_ranknet(
        build("joint", photos.dim), _rows(photos.inputs, shop_of.train), pairs, seed, photos.settings, run
    )
    figures = measure(served.utility, _rows(photos.inputs, shop_of.held), shop_of.grades[shop_of.held])
    photos.run.log(phase=phase, epoch=seed, utility=shop_of.utility, **figures)
    return figures["ndcg@100"]


def _rows(inputs: Inputs, rows: Rows) -> Inputs:
    return {name: values[rows] for name, values in inputs.items()}
