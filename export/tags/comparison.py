"""`mekiki evaluate tags`: ways to get tags from vectors side by side, over one or more encoders.

Every way is trained on the same images and measured on the same senders that were held back: macro average
precision over a sample of tags.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from export.data import Columns, parse_source
from export.embedding.part import read_encoder
from export.pixels import decode_dataset
from export.run import write_text
from export.tags.command import split_labels
from export.tags.labels import read_labels
from export.tags.recipe import PUBLISHED, TagRecipe
from export.tags.tag_set import TagImages, measure_forest, train_tag_set
from worker.model.forest.codebook import Codebook, fit_codebook

_FEWEST = 5
Floats = NDArray[np.float32]
# Training vectors, labels, held vectors -> scores.
Way = Callable[[Floats, NDArray[np.bool_], Floats], NDArray[np.float64]]


def evaluate_tags(arguments: argparse.Namespace) -> int:
    """Print the table, and write it as JSON; 0 when done.

    Raises:
        DatasetError: the images or labels cannot be used.
        PartError: an encoder is none.

    """
    labels = read_labels(
        [parse_source(source) for source in arguments.labels],
        Columns(arguments.path_column, arguments.label_column, arguments.group_column),
        arguments.encoding,
    )
    split, out = split_labels(labels), Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, float]] = {}
    for path in arguments.encoder:
        encoder = read_encoder(Path(path))
        images: dict[str, TagImages] = {}
        for name, part in split.items():
            held = decode_dataset(
                part.dataset, encoder.image, storage=out / "pixels.npy",
                max_broken_share=arguments.max_broken,
            )  # fmt: skip
            at = {example.name: place for place, example in enumerate(part.dataset.examples)}
            kept = part.where([at[example.name] for example in held.dataset.examples], held.dataset)
            positives = dict(zip(kept.names, kept.rows_of(), strict=True))
            groups = [example.group for example in held.dataset.examples]
            images[name] = TagImages(encoder.vectors(held.images), groups, positives)
        table[encoder.head.space] = compare(images["train"], images["test"], arguments.tags, arguments.seed)
        print(f"{encoder.head.space}: {table[encoder.head.space]}", flush=True)  # noqa: T201
    (out / "pixels.npy").unlink(missing_ok=True)
    write_text(out / "tags-side-by-side.json", json.dumps(table, indent=1) + "\n")
    return 0


def compare(train: TagImages, held: TagImages, tags: int, seed: int) -> dict[str, float]:
    """Macro average precision of every way, over at most `tags` tags that both sets have."""
    named = [
        name for name, own in train.positives.items()
        if _FEWEST <= len(own) < len(train.vectors) and len(held.positives.get(name, ()))
    ]  # fmt: skip
    random = np.random.default_rng(seed)
    chosen = [named[place] for place in np.sort(random.permutation(len(named))[:tags])]
    own = {name: train.positives[name] for name in chosen}
    figures = {"tags": float(len(chosen))}
    for way, run in _ways(fit_codebook(train.vectors)).items():
        figures[way] = _macro(run, train, held, own)
    figures["this program's"] = _ours(TagImages(train.vectors, train.groups, own), held)
    return figures


def _ways(book: Codebook) -> dict[str, Way]:
    plain = TagRecipe(subsample=1, colsample=1, l2=1, eta=0.3)
    return {
        "linear probe": _probe,
        "50 trees of depth 6 over numbers": lambda x, y, z: _boosted(plain, x, y, z),
        "50 trees of depth 6 over codes": lambda x, y, z: _boosted(plain, book.encode(x), y, book.encode(z)),
        "as published, over numbers": lambda x, y, z: _boosted(PUBLISHED, x, y, z),
        "as published, over codes": lambda x, y, z: _boosted(PUBLISHED, book.encode(x), y, book.encode(z)),
    }


def _probe(train: Floats, labels: NDArray[np.bool_], held: Floats) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = LogisticRegression(max_iter=1000).fit(train, labels).decision_function(held)
    return scores


def _boosted(
    recipe: TagRecipe, train: NDArray[np.generic], labels: NDArray[np.bool_], held: NDArray[np.generic]
) -> NDArray[np.float64]:
    asked = {
        "objective": "binary:logistic", "tree_method": "hist", "seed": recipe.seed,
        "max_depth": recipe.depth, "eta": recipe.eta, "lambda": recipe.l2,
    }  # fmt: skip
    booster = xgboost.train(asked, xgboost.DMatrix(train, label=labels), recipe.rounds)
    return np.asarray(booster.predict(xgboost.DMatrix(held), output_margin=True), np.float64)


def _macro(run: Way, train: TagImages, held: TagImages, own: Mapping[str, NDArray[np.int64]]) -> float:
    found = []
    for name, positives in own.items():
        labels, truth = np.zeros(len(train.vectors), bool), np.zeros(len(held.vectors), bool)
        labels[positives], truth[held.positives[name]] = True, True
        found.append(average_precision_score(truth, run(train.vectors, labels, held.vectors)))
    return round(float(np.mean(found)), 4)


def _ours(train: TagImages, held: TagImages) -> float:
    found = train_tag_set(train, TagRecipe())
    with tempfile.TemporaryDirectory(prefix="mekiki-tags-") as folder:
        path = Path(folder, "tags.forest")
        found.write(path, "side-by-side", "1")
        figures, _ = measure_forest(path, held)
    value = figures["macro average precision"]
    assert isinstance(value, float)
    return value
