"""`mekiki train embedding --weights`, or `--encoder RUN`: three architectures over a trained net."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from export.attributes.part import Base, base_vectors, encoder_base, level_base, with_distance
from export.copies.together import keep_copies_together
from export.data import Columns, Dataset, parse_source, read_sources
from export.embedding.comparison import FIGURES, FROZEN, HISTOGRAM, Table, side_by_side, sources_of
from export.embedding.deep_ranking import (
    ARCHITECTURES,
    IMAGES,
    VECTORS,
    Architecture,
    RankingHead,
    RankingSettings,
    ranked,
    shrunk,
    train_ranking_head,
)
from export.embedding.part import read_encoder
from export.errors import DatasetError
from export.graphs import export_graph
from export.parts import PARTS_FOLDER, Examples, Part, PartFolder, describe_file, run_part, write_part
from export.pixels import DecodedSet
from export.report import write_report
from export.retrieval import colour_histogram
from export.run import RunFolder
from export.training_split import data_sources, decode_split, open_training, read_split
from schemas.bundle import EmbeddingHead, Graph, GraphInput, OutputInput

RANKING_FILE, OUTPUT = "ranking.onnx", "ranking.embedding"
_EXAMPLES = 8
_PHOTOS_OF_DISTANCE = 500  # that the near-duplicate distance is set on: each is edited and run again
_BATCH = 64


def train_ranking(arguments: argparse.Namespace) -> int:
    """Train three architectures, measure them beside others, leave the Part of the one asked; 0 when done.

    Raises:
        DatasetError: the images cannot be used, or have fewer than two labels.
        PartError: --encoder is no embedding.
        WeightsError: --weights are missing or of another network.

    """
    # One thread: networks this small wait for each other longer than they compute.
    torch.set_num_threads(1)
    split = _labelled(arguments)
    run = open_training(arguments, split)
    folder = run.path / PARTS_FOLDER / "embedding"
    folder.mkdir(parents=True)
    base = _base(arguments, folder)
    decoded = decode_split(split, base.image, run, arguments.max_broken)
    seen = {name: _seen(base, folder, held) for name, held in decoded.items()}
    settings = RankingSettings(loss=arguments.loss, mining=arguments.mining, steps=arguments.steps)
    labels = np.array([example.label for example in decoded["train"].dataset.examples])
    heads = {
        name: train_ranking_head(name, *seen["train"], labels, settings, arguments.seed)
        for name in ARCHITECTURES
    }
    table = _table(heads, seen["test"], decoded["test"], arguments)
    served: Architecture = arguments.architecture
    part = _write(heads[served], base, folder, run, decoded, seen, table, settings, arguments)
    _report(run, part, table, served, decoded)
    for row, figures in table.items():
        print(f"{row}: {figures}")  # noqa: T201 - what the command answers
    said = f"part: {part.path}, for `mekiki bundle assemble --part {run.path}`"
    print(f"{said}; report: {run.path / 'report.html'}")  # noqa: T201
    return 0


def _base(arguments: argparse.Namespace, folder: Path) -> Base:
    if arguments.weights is None:
        return encoder_base(read_encoder(Path(arguments.encoder)), folder)
    usual = "torchvision" if arguments.weights == "torchvision" else "tensorflow"
    return level_base(arguments.weights, arguments.preprocess or usual, folder)


def _labelled(arguments: argparse.Namespace) -> dict[str, Dataset]:
    """The images that have a label, as `train` and `test`: by group, or as --test-images names them."""
    if not arguments.test_images:
        split = read_split(arguments.images, arguments)
    else:
        train, test = (_read(sources, arguments) for sources in (arguments.images, arguments.test_images))
        _require_disjoint(train, test)
        split = {"train": keep_copies_together(train, arguments.copies), "test": test}
    options = {"train": "--images", "test": "--test-images" if arguments.test_images else "--images"}
    return {name: _with_labels(dataset, f"{name!r} of {options[name]}") for name, dataset in split.items()}


def _with_labels(dataset: Dataset, what: str) -> Dataset:
    found = Dataset(tuple(example for example in dataset.examples if example.label), dataset.skipped)
    if len(found.labels()) < 2:
        raise DatasetError(f"the set {what} has {len(found.labels())} labels: two or more are told apart")
    return found


def _require_disjoint(train: Dataset, test: Dataset) -> None:
    """Fail where an image is trained on and measured.

    Raises:
        DatasetError: it names one.

    """
    known = {example.path.resolve() for example in train.examples}
    for example in test.examples:
        if example.path.resolve() in known:
            raise DatasetError(f"{example.path} is in --images and in --test-images: give disjoint sources")


def _read(sources: list[str], arguments: argparse.Namespace) -> Dataset:
    return read_sources([parse_source(one) for one in sources], _columns(arguments), arguments.encoding)


def _columns(arguments: argparse.Namespace) -> Columns:
    return Columns(arguments.path_column, arguments.label_column, arguments.group_column)


Seen = tuple[NDArray[np.float32], NDArray[np.float32]]


def _seen(base: Base, folder: Path, held: DecodedSet) -> Seen:
    """What heads are trained on: the encoder's vectors [n, width] and averaged images [n, 3, side, side]."""
    vectors = base_vectors(base, folder, held.images)[base.vector]
    rows = range(0, len(held), _BATCH)
    small = [shrunk(torch.from_numpy(np.ascontiguousarray(held.images[at : at + _BATCH]))) for at in rows]
    return vectors, torch.cat(small).numpy()


def _table(
    heads: dict[Architecture, RankingHead], seen: Seen, held: DecodedSet, arguments: argparse.Namespace
) -> Table:
    frozen = seen[0] / np.linalg.norm(seen[0], axis=1, keepdims=True).clip(1e-9)
    spaces = {
        **{str(name): ranked(head, *seen) for name, head in heads.items()},
        FROZEN: frozen,
        HISTOGRAM: colour_histogram(held.images),
    }
    asked = arguments.test_images or arguments.images
    sources = sources_of(held.dataset, asked, _columns(arguments), arguments.encoding)
    return side_by_side(spaces, held.dataset, sources)


def _write(
    head: RankingHead,
    base: Base,
    folder: Path,
    run: RunFolder,
    decoded: dict[str, DecodedSet],
    seen: dict[str, Seen],
    table: Table,
    settings: RankingSettings,
    arguments: argparse.Namespace,
) -> PartFolder:
    images = decoded["train"].images[:_EXAMPLES]
    given = {VECTORS: torch.from_numpy(seen["train"][0][:2]), IMAGES: torch.from_numpy(images[:2])}
    export_graph(head, {name: given[name] for name in head.inputs()}, folder / RANKING_FILE, ["embedding"])
    inputs: dict[str, GraphInput] = {VECTORS: OutputInput(output=base.vector), IMAGES: base.image}
    own = Graph(
        file=RANKING_FILE,
        inputs={name: inputs[name] for name in head.inputs()},
        outputs={OUTPUT: "embedding"},
    )
    graphs = [own] if head.deep is None else [*base.graphs, own]
    files = [describe_file(folder / graph.file) for graph in graphs]
    config = run.config()
    part = Part(
        head=EmbeddingHead(
            output=OUTPUT, dim=ranked(head, *(rows[:1] for rows in seen["train"])).shape[1],
            space=f"{arguments.name}-{files[-1].sha256[:12]}", near_duplicate_distance=0,
        ),
        graphs=graphs,
        files=files,
        seeds=[arguments.seed],
        data_sha256=config["data_digest"],
        sources=data_sources(arguments.images),
        command=config["command"],
    )  # fmt: skip
    served = run_part(
        PartFolder(folder, part, str(run.path)), [decoded["train"].images[:_PHOTOS_OF_DISTANCE]]
    )
    paths = [example.path for example in decoded["train"].dataset.examples][:_PHOTOS_OF_DISTANCE]
    found = with_distance(PartFolder(folder, part, str(run.path)), paths, served)
    figures: dict[str, JsonValue] = {
        "architecture": head.architecture,
        "training": f"{settings.steps} steps over a frozen encoder, {_how(settings)}",
        "images trained on": len(decoded["train"]),
        **table,
    }
    with_figures = found.part.model_copy(update={"figures": figures})
    return write_part(folder, with_figures, Examples([images], served[:_EXAMPLES]))


def _how(settings: RankingSettings) -> str:
    if settings.loss == "contrast":
        return "supervised contrast"
    return f"triplets ({settings.mining}), margin {settings.margin:g}"


def _report(
    run: RunFolder, part: PartFolder, table: Table, served: Architecture, decoded: dict[str, DecodedSet]
) -> None:
    rows: list[dict[str, Any]] = []
    for row, figures in table.items():
        source, _, space = row.rpartition(": ")
        rows.append({"source": source, "space": space, "figures": figures})
    values = {
        "rows": rows,
        "names": FIGURES,
        "served": served,
        "training": part.part.figures["training"],
        "images": {name: len(held) for name, held in decoded.items()},
        "skips": {name: held.dataset.skips() for name, held in decoded.items()},
        "config": run.config(),
        "next": f"mekiki bundle assemble --part {run.path} --name shop --version 1 --out bundles/shop",
    }
    write_report(run.path / "report.html", "embedding.html", values)
