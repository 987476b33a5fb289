"""`mekiki train tags`: boosted trees over the vectors of an encoder of one's own, as a Part."""

import argparse
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from export.data import Columns, Dataset, data_digest, parse_source, read_sources, split_by_group
from export.embedding.part import read_encoder
from export.errors import DatasetError
from export.parts import PARTS_FOLDER, DataSource, Examples, Part, describe_file, write_part
from export.pixels import DecodedSet, decode_dataset
from export.run import open_run
from export.tags.booster import predict_tags, save_tags, tag_figures, tag_matrix, train_tags
from schemas.bundle import TagHead

TAGS_FILE = "tags.ubj"
_SALT = "mekiki"
_EXAMPLES = 8


def train_tags_command(arguments: argparse.Namespace) -> int:
    """Train on the labels of one's own images, measure on held-back groups, leave the Part; 0 when done.

    Raises:
        DatasetError: the images cannot be used, or no label has enough of them.
        PartError: --encoder is no embedding.

    """
    encoder = read_encoder(Path(arguments.encoder))
    columns = Columns(arguments.path_column, arguments.label_column, arguments.group_column)
    whole = read_sources([parse_source(source) for source in arguments.labels], columns, arguments.encoding)
    split = split_by_group(whole, {"train": 0.7, "test": 0.3}, _SALT)
    names, rare = _names(split["train"], arguments.minimum_count)
    asked = {name: value for name, value in vars(arguments).items() if name not in {"func", "out"}}
    run = open_run(Path(arguments.out), asked, data_digest(*split.values()), resume=False)
    folder = run.path / PARTS_FOLDER / "tags"
    folder.mkdir(parents=True)
    decoded = {
        name: decode_dataset(
            dataset, encoder.image, storage=run.path / "pixels" / f"{name}.npy",
            max_broken_share=arguments.max_broken,
        )
        for name, dataset in split.items()
    }  # fmt: skip
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
        sources=[DataSource(name=Path(source.partition(":")[0]).name) for source in arguments.labels],
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
