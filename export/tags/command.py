"""`mekiki train tags`: a forest of tags over the vectors of an encoder, as a Part to which tags are added."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from export.copies.together import keep_copies_together
from export.data import Columns, parse_source, require_images
from export.embedding.part import Encoder, read_encoder
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, write_part
from export.pixels import DecodedSet
from export.run import RunFolder, write_text
from export.tags.labels import TagLabels, read_labels
from export.tags.measure import TagFigures
from export.tags.recipe import TagRecipe
from export.tags.store import FOREST_FILE, write_store
from export.tags.tag_set import TagImages, TagSet, measure_forest, train_tag_set
from export.training_split import SMALLEST, data_sources, decode_split, open_training, split_in_two
from schemas.bundle import TagHead

_EXAMPLES = 8
_SHOWN = 20


def train_tags_command(arguments: argparse.Namespace) -> int:
    """Train on the labels of one's own images, measure on held-back senders, leave the Part; 0 when done.

    Raises:
        DatasetError: the images or labels cannot be used.
        TagsError: no tag has enough images, or the Dask cluster does not answer.
        PartError: --encoder is no embedding.

    """
    encoder = read_encoder(Path(arguments.encoder))
    recipe = recipe_of(arguments)
    labels = read_labels(
        [parse_source(source) for source in arguments.labels],
        Columns(arguments.path_column, arguments.label_column, arguments.group_column),
        arguments.encoding,
    )
    parts = split_labels(labels, arguments.copies)
    run = open_training(arguments, {name: part.dataset for name, part in parts.items()})
    folder = run.path / PARTS_FOLDER / "tags"
    folder.mkdir(parents=True)
    images = _images(parts, encoder, run, arguments.max_broken)
    found = train_tag_set(
        images["train"][0], recipe,
        minimum_count=arguments.minimum_count, processes=arguments.processes, dask=arguments.dask,
    )  # fmt: skip
    held, shown = images["train"]
    store = write_store(run.path, found, shown.names, list(held.groups), arguments.minimum_count)
    found.write(store.forest_path, encoder.head.space, "1")
    figures, each = measure_forest(store.forest_path, images["test"][0])
    figures = {**_left_out(labels, found), **figures}
    _report(run, found, each)
    part = _part(arguments, encoder, folder, run, figures)
    examples = Examples([shown.pixels], held.vectors[: len(shown.pixels)])
    print(f"part: {write_part(folder, part, examples).path}, {len(found.tables)} tags; {figures}")  # noqa: T201
    return 0


class _Shown:
    """Names of the images of a set, and pixels of a few."""

    def __init__(self, decoded: DecodedSet) -> None:
        self.names = [example.name for example in decoded.dataset.examples]
        self.pixels = np.array(decoded.images[:_EXAMPLES])


def recipe_of(arguments: argparse.Namespace) -> TagRecipe:
    """The recipe that the arguments ask for."""
    rounds = arguments.rounds
    return TagRecipe(
        seed=arguments.seed,
        rounds=rounds,
        rounds_tried=sorted({0, rounds // 10, rounds // 5, rounds // 2, rounds}),
        depth=arguments.depth,
        calibration=arguments.calibration,
        linear=not arguments.no_linear,
    )


def split_labels(labels: TagLabels, copies: Sequence[str] = ()) -> dict[str, TagLabels]:
    """The images as `train` and `test`; a sender is never in both, nor are `copies` (see `--copies`).

    Raises:
        DatasetError: there are too few.

    """
    require_images(labels.dataset, SMALLEST, "a training (--labels)")
    place = {example.name: at for at, example in enumerate(labels.dataset.examples)}
    whole = keep_copies_together(labels.dataset, copies)
    return {
        name: labels.where([place[example.name] for example in dataset.examples], dataset)
        for name, dataset in split_in_two(whole, "--labels").items()
    }


def _images(
    parts: dict[str, TagLabels], encoder: Encoder, run: RunFolder, max_broken: float
) -> dict[str, tuple[TagImages, _Shown]]:
    decoded = decode_split(
        {name: part.dataset for name, part in parts.items()}, encoder.image, run, max_broken
    )
    found = {}
    for name, part in parts.items():
        kept = decoded[name]
        at = {example.name: place for place, example in enumerate(part.dataset.examples)}
        labels = part.where([at[example.name] for example in kept.dataset.examples], kept.dataset)
        positives = dict(zip(labels.names, labels.rows_of(), strict=True))
        groups = [example.group for example in kept.dataset.examples]
        vectors = encoder.vectors(kept.images)
        found[name] = (TagImages(vectors, groups, dict(sorted(positives.items()))), _Shown(kept))
    return found


def _left_out(labels: TagLabels, found: TagSet) -> dict[str, JsonValue]:
    """What a person should know of labels that were not used, or look wrong."""
    figures: dict[str, JsonValue] = {"left out, too few images": len(found.too_few)}
    if found.all_images:
        figures["left out, all images have it"] = list[JsonValue](found.all_images[:_SHOWN])
    figures |= {f"left out, {reason}": count for reason, count in labels.left_out.items() if count}
    figures |= {f"images left out, {reason}": count for reason, count in labels.dataset.skips().items()}
    if labels.alike:
        figures["names that look alike"] = [" / ".join(names) for names in labels.alike[:_SHOWN]]
        print(  # noqa: T201
            f"{len(labels.alike)} groups of tags look alike and are trained apart, such as "
            f"{labels.alike[0]}: see the Part's figures",
            file=sys.stderr,
        )
    return figures


def _report(run: RunFolder, found: TagSet, each: list[TagFigures]) -> None:
    """`tags.json`: every tag, and what held senders say of it."""
    held = {figures.name: asdict(figures) for figures in each}
    rows = [
        {
            "name": table.name,
            "positives": table.positives,
            "trees": len(table.trees),
            "threshold": round(table.threshold, 4),
            "average_precision_on_senders_held_back_in_training": round(table.average_precision, 4),
            **{key: held[table.name][key] for key in ("held_positives", "average_precision", "f1")
               if table.name in held},
        }
        for table in found.tables
    ]  # fmt: skip
    report = {"recipe": found.recipe.model_dump(), "too_few_images": found.too_few, "tags": rows}
    write_text(run.path / "tags.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def _part(
    arguments: argparse.Namespace,
    encoder: Encoder,
    folder: Path,
    run: RunFolder,
    figures: dict[str, JsonValue],
) -> Part:
    graphs = encoder.copy_graphs(folder)
    files = [folder / graph.file for graph in graphs] + [folder / FOREST_FILE]
    return Part(
        head=TagHead(
            output=encoder.head.output, file=FOREST_FILE, format="forest",
            minimum_score=arguments.minimum_score,
        ),
        graphs=graphs,
        files=[describe_file(path) for path in files],
        figures=figures,
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.labels),
        command=run.config()["command"],
    )  # fmt: skip
