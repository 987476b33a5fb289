"""`mekiki evaluate preference`: is a hidden utility found, from ratings and through biased clicks?"""

import argparse
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
from export.preference.training import Inputs, RankSettings, measure, train_ranknet
from export.run import RunFolder, open_run
from export.training_split import split_in_two

Rows = NDArray[np.int64]
_CLIP = 0.02


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
    for name in arguments.utilities:
        utility = UTILITIES[name](looks, labels)
        rows = [
            _one_seed(
                run, pictures, name, grade(utility), -looks["light"], train, held, seed, arguments.lists
            )
            for seed in arguments.seeds
        ]
        for source in rows[0]:
            found = summary([row[source] for row in rows])
            told = {key: round(value, 4) for key, value in found.items()}
            run.log(phase="summary", epoch=0, utility=name, source=source, **told)
            print(f"{name}, {source}: {told}")  # noqa: T201 - what the command answers
    return 0


def _one_seed(
    run: RunFolder,
    pictures: Pictures,
    name: str,
    grades: NDArray[np.float64],
    policy: NDArray[np.float64],
    train: Rows,
    held: Rows,
    seed: int,
    lists: int,
) -> dict[str, float]:
    """NDCG@100 of held photos by what was learned from, and how much of the gap each correction closes."""
    own = grades[train]

    def learn(pairs: Pairs, phase: str) -> float:
        torch.manual_seed(seed)
        own_run = RunFolder(run.path / "trainings" / name / phase)
        own_run.path.mkdir(parents=True)
        served = train_ranknet(
            build("joint", _dim(pictures)), _inputs(pictures, train), pairs, seed, RankSettings(), own_run
        )
        figures = measure(served.utility, _inputs(pictures, held), grades[held])
        run.log(phase=phase, epoch=seed, utility=name, **figures)
        return figures["ndcg@100"]

    truth = Ratings(np.arange(len(own)), np.zeros(len(own), np.int64), own, {})
    found = {
        "ratings": learn(rated_pairs(read_ratings(rate(own, 8, seed)), PAIRS, seed), f"ratings-{seed}"),
        "true grades": learn(rated_pairs(truth, PAIRS, seed), f"true-{seed}"),
    }
    # A shop that shows dark photos first, with a taste of its own for each image.
    rng = np.random.default_rng(seed)
    ordered_by = policy[train] + 0.7 * rng.normal(size=len(train))
    for model in CLICK_MODELS:
        rows = shop(own, ordered_by, lists, model, seed)
        log = ClickLog(Counts.of(rows), rows, len(rows), {}, 1.0)
        for how in ("none", "em", "harvest"):
            asked = argparse.Namespace(
                propensities=how, click_model="auto", weighting="rates", clip=_CLIP, seed=seed
            )
            feedback = from_clicks(log, np.arange(len(own)), np.empty(0, np.int64), asked)
            found[f"{model}, {how}"] = learn(feedback.pairs, f"{model}-{how}-{seed}")
        gap = found["true grades"] - found[f"{model}, none"]
        found[f"{model}, gap"] = gap
        for how in ("em", "harvest"):
            gained = found[f"{model}, {how}"] - found[f"{model}, none"]
            found[f"{model}, {how}, share of the gap"] = gained / gap if gap > 0 else 1.0
    return found


def _dim(pictures: Pictures) -> int:
    assert pictures.vectors is not None
    return int(pictures.vectors.shape[1])


def _inputs(pictures: Pictures, rows: Rows) -> Inputs:
    assert pictures.vectors is not None
    return {PIXELS: pictures.pixels[rows], VECTORS: pictures.vectors[rows]}
