"""`mekiki train embedding --weights`, or `--encoder RUN`: three architectures over a trained net."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from export.alocc.trunks import Preprocess
from export.attributes.levels import LevelEncoder, UpperBlocks, level_encoder
from export.attributes.part import Base, base_vectors, encoder_base, network_base, with_distance
from export.copies.together import keep_copies_together
from export.data import Columns, Dataset, parse_source, read_sources
from export.embedding.comparison import (
    FIGURES,
    FROZEN,
    HISTOGRAM,
    Table,
    against_others,
    side_by_side,
    sources_of,
)
from export.embedding.deep_ranking import (
    IMAGES,
    VECTORS,
    Architecture,
    RankingHead,
    RankingSettings,
    ranked,
    train_ranking_heads,
)
from export.embedding.part import read_encoder
from export.embedding.ranking_views import COUNT, encoder_views, frozen_blocks, small_of, views_of
from export.errors import DatasetError
from export.graphs import export_graph
from export.parts import PARTS_FOLDER, Examples, Part, PartFolder, describe_file, run_part, write_part
from export.pixels import DecodedSet
from export.report import write_report
from export.retrieval import colour_histogram
from export.run import RunFolder
from export.training_split import data_sources, decode_split, open_training, read_split
from schemas.bundle import EmbeddingHead, Graph, GraphInput, OutputInput

Seen = tuple[NDArray[np.float32], NDArray[np.uint8]]
RANKING_FILE, OUTPUT = "ranking.onnx", "ranking.embedding"
_EXAMPLES = 8
_PHOTOS_OF_DISTANCE = 500  # that the near-duplicate distance is set on: each is edited and run again


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
    settings = RankingSettings(loss=arguments.loss, mining=arguments.mining, steps=arguments.steps)
    network = _network(arguments)
    base = _base(network, arguments, folder)
    decoded = decode_split(split, base.image, run, arguments.max_broken)
    before = seen = {name: _seen(base, folder, held) for name, held in decoded.items()}
    heads = _heads(network, before["train"], run, decoded["train"], settings, arguments.seed)
    if network:
        network_base(network, folder)  # again, as it is now
        seen = {name: _seen(base, folder, held) for name, held in decoded.items()}
    table = _table(heads, seen, before, decoded, arguments)
    served: Architecture = arguments.architecture
    part = _write(heads[served], base, folder, run, decoded, seen, table, settings, arguments)
    _report(run, part, table, served, decoded)
    for row, figures in table.items():
        print(f"{row}: {figures}")  # noqa: T201 - what the command answers
    said = f"part: {part.path}, for `mekiki bundle assemble --part {run.path}`"
    print(f"{said}; report: {run.path / 'report.html'}")  # noqa: T201
    return 0


def _network(arguments: argparse.Namespace) -> LevelEncoder | None:
    if arguments.weights is None:
        return None
    usual: Preprocess = "torchvision" if arguments.weights == "torchvision" else "tensorflow"
    return level_encoder(arguments.weights, arguments.preprocess or usual)


def _base(network: LevelEncoder | None, arguments: argparse.Namespace, folder: Path) -> Base:
    if network is None:
        return encoder_base(read_encoder(Path(arguments.encoder)), folder)
    return network_base(network, folder)


def _heads(
    network: LevelEncoder | None,
    seen: Seen,
    run: RunFolder,
    held: DecodedSet,
    settings: RankingSettings,
    seed: int,
) -> dict[Architecture, RankingHead]:
    """The three architectures; the upper blocks of a `network` are trained with them, in place."""
    labels = np.array([example.label for example in held.dataset.examples])
    if network is None:
        return train_ranking_heads(nn.Identity(), encoder_views(*seen), labels, settings, seed)
    views = views_of(held.images, frozen_blocks(network), COUNT, seed, run.path / "pixels" / "views")
    return train_ranking_heads(UpperBlocks(network), views, labels, settings, seed)


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


def _seen(base: Base, folder: Path, held: DecodedSet) -> Seen:
    """What heads take: the net's vectors [n, width] and averaged images [n, 3, side, side]."""
    return base_vectors(base, folder, held.images)[base.vector], small_of(held.images)


def _table(
    heads: dict[Architecture, RankingHead],
    seen: dict[str, Seen],
    before: dict[str, Seen],
    decoded: dict[str, DecodedSet],
    arguments: argparse.Namespace,
) -> Table:
    spaces = {
        name: {
            **{str(architecture): ranked(head, *seen[name]) for architecture, head in heads.items()},
            FROZEN: before[name][0] / np.linalg.norm(before[name][0], axis=1, keepdims=True).clip(1e-9),
            HISTOGRAM: colour_histogram(held.images),
        }
        for name, held in decoded.items()
    }
    held = decoded["test"].dataset
    sources = sources_of(
        held, arguments.test_images or arguments.images, _columns(arguments), arguments.encoding
    )
    others = np.array([example.label for example in decoded["train"].dataset.examples])
    return {
        **side_by_side(spaces["test"], held, sources),
        **against_others(spaces["test"], held, sources, spaces["train"], others),
    }


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
    images, (vectors, small) = decoded["train"].images[:_EXAMPLES], seen["train"]
    given = {VECTORS: torch.from_numpy(vectors[:2]), IMAGES: torch.from_numpy(images[:2])}
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
            output=OUTPUT, dim=ranked(head, vectors[:1], small[:1]).shape[1],
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
        "architecture": arguments.architecture,
        "training": _training(arguments.weights, settings),
        "images trained on": len(decoded["train"]),
        **table,
    }
    with_figures = found.part.model_copy(update={"figures": figures})
    return write_part(folder, with_figures, Examples([images], served[:_EXAMPLES]))


def _training(weights: str | None, settings: RankingSettings) -> str:
    over = "the last five blocks of a MobileNetV2, and heads" if weights else "heads over a frozen encoder"
    triplets = f"triplets ({settings.mining}), margin {settings.margin:g}"
    pairs = "contrast" if settings.loss == "contrast" else triplets
    return f"{settings.steps} steps of {over}, by classes and {pairs}"


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
