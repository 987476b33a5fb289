"""`mekiki evaluate preference`: is a hidden utility found, from ratings and through biased clicks?"""

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
    rate,
    shop,
)
from export.preference.training import Inputs, RankSettings, measure, prepared, train_ranknet
from export.run import RunFolder, open_run
from export.training_split import split_in_two

Rows = NDArray[np.int64]
_CLIP = 0.02


@dataclass(frozen=True)
class _Shop:
    """Photos as the network takes them, those to learn from and those held, and what the shop orders by."""

    run: RunFolder
    inputs: Inputs
    dim: int
    train: Rows
    held: Rows
    policy: NDArray[np.float64]
    lists: int
    settings: RankSettings


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
    split = split_in_two(pictures.dataset, "--images")
    train, held = (
        np.array([pictures.rows[example.name] for example in split[name].examples], np.int64)
        for name in ("train", "test")
    )
    labels = np.array([example.label for example in pictures.dataset.examples], dtype=str)
    looks = appearance_of(pictures.pixels)
    # A shop that shows dark photos first.
    inputs, dim = _prepared(pictures)
    settings = RankSettings.of(build("joint", dim), arguments.epochs)
    place = _Shop(run, inputs, dim, train, held, -looks["light"], arguments.lists, settings)
    for name in arguments.utilities:
        utility = grade(UTILITIES[name](looks, labels))
        rows = [_one_seed(place, name, utility, seed) for seed in arguments.seeds]
        for source in rows[0]:
            found = summary([row[source] for row in rows])
            told = {key: round(value, 4) for key, value in found.items()}
            run.log(phase="summary", epoch=0, utility=name, source=source, **told)
            print(f"{name}, {source}: {told}")  # noqa: T201 - what the command answers
    return 0


def _prepared(pictures: Pictures) -> tuple[Inputs, int]:
    """What the network takes of every photo, computed once for all trainings; the vectors' dimension."""
    assert pictures.vectors is not None
    dim = int(pictures.vectors.shape[1])
    rows = prepared(build("joint", dim), {PIXELS: pictures.pixels, VECTORS: pictures.vectors})
    return {name: values.numpy() for name, values in rows.items()}, dim


def _one_seed(place: _Shop, name: str, grades: NDArray[np.float64], seed: int) -> dict[str, float]:
    """NDCG@100 of held photos by what was learned from, and how much of the gap each correction closes."""
    own = grades[place.train]

    def learn(pairs: Pairs, phase: str) -> float:
        return _learned(place, name, grades, pairs, f"{phase}-{seed}", seed)

    truth = Ratings(np.arange(len(own)), np.zeros(len(own), np.int64), own, {})
    found = {
        "ratings": learn(rated_pairs(read_ratings(rate(own, 8, seed)), PAIRS, seed), "ratings"),
        "true grades": learn(rated_pairs(truth, PAIRS, seed), "true"),
    }
    # A taste of its own for each image.
    rng = np.random.default_rng(seed)
    ordered_by = place.policy[place.train] + 0.7 * rng.normal(size=len(own))
    for model in CLICK_MODELS:
        rows = shop(own, ordered_by, place.lists, model, seed)
        log = ClickLog(Counts.of(rows), rows, len(rows), {}, 1.0)
        for how in ("none", "em", "harvest"):
            asked = argparse.Namespace(
                propensities=how, click_model="auto", weighting="order", clip=_CLIP, seed=seed
            )
            feedback = from_clicks(log, np.arange(len(own)), np.empty(0, np.int64), asked)
            found[f"{model}, {how}"] = learn(feedback.pairs, f"{model}-{how}")
        gap = found["true grades"] - found[f"{model}, none"]
        found[f"{model}, gap"] = gap
        for how in ("em", "harvest"):
            gained = found[f"{model}, {how}"] - found[f"{model}, none"]
            found[f"{model}, {how}, share of the gap"] = gained / gap if gap > 0 else 1.0
    return found


def _learned(
    place: _Shop, name: str, grades: NDArray[np.float64], pairs: Pairs, phase: str, seed: int
) -> float:
    """NDCG@100 of held photos, of a network that learned from `pairs`."""
    torch.manual_seed(seed)
    run = RunFolder(place.run.path / "trainings" / name / phase)
    run.path.mkdir(parents=True)
    served = train_ranknet(
        build("joint", place.dim), _rows(place.inputs, place.train), pairs, seed, place.settings, run
    )
    figures = measure(served.utility, _rows(place.inputs, place.held), grades[place.held])
    place.run.log(phase=phase, epoch=seed, utility=name, **figures)
    return figures["ndcg@100"]


def _rows(inputs: Inputs, rows: Rows) -> Inputs:
    return {name: values[rows] for name, values in inputs.items()}
