"""`mekiki train tags`: boosted trees over the vectors of an encoder of one's own, as a Part."""

import argparse
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from export.data import Dataset
from export.embedding.part import read_encoder
from export.errors import DatasetError
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, write_part
from export.pixels import DecodedSet
from export.tags.booster import predict_tags, save_tags, tag_figures, tag_matrix, train_tags
from export.training_split import data_sources, decode_split, open_training, read_split
from schemas.bundle import TagHead

TAGS_FILE = "tags.ubj"
_EXAMPLES = 8


def train_tags_command(arguments: argparse.Namespace) -> int:
    """Train on the labels of one's own images, measure on held-back groups, leave the Part; 0 when done.

    Raises:
        DatasetError: the images cannot be used, or no label has enough of them.
        PartError: --encoder is no embedding.

    """
    encoder = read_encoder(Path(arguments.encoder))
    split = read_split(arguments.labels, arguments)
    names, rare = _names(split["train"], arguments.minimum_count)
    run = open_training(arguments, split)
    folder = run.path / PARTS_FOLDER / "tags"
    folder.mkdir(parents=True)
    decoded = decode_split(split, encoder.image, run, arguments.max_broken)
    vectors = {name: encoder.vectors(held.images) for name, held in decoded.items()}
    labels = {name: tag_matrix(_tags(held), names) for name, held in decoded.items()}
    booster = train_tags(vectors["train"], labels["train"], arguments.seed, arguments.rounds)
    save_tags(booster, folder / TAGS_FILE)
    figures: dict[str, JsonValue] = {"left out, too few images": rare}
    if labels["test"].any():
        figures |= tag_figures(predict_tags(booster, vectors["test"]), labels["test"])
    graphs = encoder.copy_graphs(folder)
    files = [folder / graph.file for graph in graphs] + [folder / TAGS_FILE]
    part = Part(
        head=TagHead(
            output=encoder.head.output, file=TAGS_FILE, names=names, minimum_score=arguments.minimum_score
        ),
        graphs=graphs,
        files=[describe_file(path) for path in files],
        figures=figures,
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.labels),
        command=run.config()["command"],
    )
    examples = Examples([decoded["train"].images[:_EXAMPLES]], vectors["train"][:_EXAMPLES])
    print(f"part: {write_part(folder, part, examples).path}, {len(names)} tags; {figures}")  # noqa: T201
    return 0


def _tags(held: DecodedSet) -> list[tuple[str, ...]]:
    return [_split(example.label) for example in held.dataset.examples]


def _split(label: str) -> tuple[str, ...]:
    """Several tags of an image stand in one label, with `|` between them."""
    return tuple(tag for part in label.split("|") if (tag := part.strip()))


def _names(dataset: Dataset, minimum: int) -> tuple[list[str], int]:
    """Tags that at least `minimum` training images have, sorted; and how many have fewer."""
    tags = [tag for example in dataset.examples for tag in _split(example.label)]
    names, counts = np.unique(np.array(tags, dtype=str), return_counts=True)
    kept = [str(name) for name, count in zip(names, counts, strict=True) if count >= minimum]
    if not kept:
        raise DatasetError(
            f"no tag has {minimum} images of training groups: give more images, or a lower --minimum-count"
        )
    return kept, len(names) - len(kept)
