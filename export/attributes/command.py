"""`mekiki train attributes`: an embedding that shows what labels say, with a vector for each of them."""

import argparse
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.attributes.part import build_part, encoder_base, level_base, with_distance
from export.data import Dataset, drop_small_classes
from export.embedding.part import read_encoder
from export.errors import DatasetError, PartError
from export.metrics import Share
from export.parts import PARTS_FOLDER, Examples, run_part, write_part
from export.training_split import data_sources, decode_split, open_training, read_split
from schemas.bundle import EmbeddingHead

_EXAMPLES = 8


def train_attributes_command(arguments: argparse.Namespace) -> int:
    """Fit on one part of the groups, measure on the others, leave the Part; 0 when done.

    Raises:
        DatasetError: the labels cannot be used: fewer than two values, or a set lacks one.
        PartError: --encoder is no embedding, or neither or both of --encoder and --weights were given.
        WeightsError: --weights are missing or of another network.

    """
    _require_one_source(arguments)
    split = {
        name: drop_small_classes(dataset, arguments.minimum_count if name == "train" else 1)
        for name, dataset in read_split(arguments.labels, arguments, "--labels").items()
    }
    run = open_training(arguments, split)
    folder = run.path / PARTS_FOLDER / "embedding"
    folder.mkdir(parents=True)
    if arguments.encoder:
        base = encoder_base(read_encoder(Path(arguments.encoder)), folder)
    else:
        base = level_base(arguments.weights, arguments.preprocess or "tensorflow", folder)
    decoded = decode_split(split, base.image, run, arguments.max_broken)
    train, test = decoded["train"], decoded["test"]
    found = build_part(base, folder, train.images, _labels(train.dataset), arguments.name)
    own = {name: run_part(found, [held.images]) for name, held in decoded.items()}
    found = with_distance(found, [example.path for example in train.dataset.examples], own["train"])
    head = found.part.head
    assert isinstance(head, EmbeddingHead)
    changed = changed_values(head, own["test"], test.dataset)
    part = found.part.model_copy(
        update={
            "seeds": [arguments.seed],
            "data_sha256": run.config()["data_digest"],
            "sources": data_sources(arguments.labels),
            "command": run.config()["command"],
            "figures": {"near-duplicate distance": head.near_duplicate_distance, **changed},
        }
    )
    write_part(folder, part, Examples([train.images[:_EXAMPLES]], own["train"][:_EXAMPLES]))
    for name, value in part.figures.items():
        print(f"{name}: {value}")  # noqa: T201 - what the command answers
    values = ", ".join(head.attributes)
    print(f"part: {folder}, for `mekiki bundle assemble --part {run.path}`; attributes: {values}")  # noqa: T201
    return 0


def changed_values(
    head: EmbeddingHead, vectors: NDArray[np.float32], dataset: Dataset
) -> dict[str, JsonValue]:
    """How often the nearest image to `vector - its value + another value` has the other value.

    Over all images of `dataset` [n] and all values that it holds; every image is in the index, that which is
    asked by as well.
    """
    labels = _labels(dataset)
    attributes = {name: vector.to_array() for name, vector in head.attributes.items()}
    right, plain = [], []
    for row, own in enumerate(labels):
        for other in np.unique(labels):
            if other == own or not {own, other} <= attributes.keys():
                continue
            query = vectors[row] + attributes[other] - attributes[own]
            right.append(labels[int(np.argmax(vectors @ query))] == other)
            plain.append(labels[int(np.argmax(vectors @ vectors[row]))] == other)
    if not right:
        return {}
    return {
        "nearest has the value asked for": Share.of(np.array(right)).as_figure(),
        "the same without arithmetic": Share.of(np.array(plain)).as_figure(),
    }


def _labels(dataset: Dataset) -> NDArray[np.str_]:
    return np.array([example.label for example in dataset.examples])


def _require_one_source(arguments: argparse.Namespace) -> None:
    if bool(arguments.encoder) == bool(arguments.weights):
        raise PartError("name either --encoder RUN (of mekiki train embedding) or --weights FILE")
    if arguments.weights == "none":
        raise PartError("--weights none shows nothing: name a file, or torchvision")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", arguments.name):
        raise DatasetError(f"--name {arguments.name!r} may hold letters, digits, dots, - and _")
