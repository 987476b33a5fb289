"""`mekiki train preference --images`: photo quality over an encoder's vectors, as a Part."""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.embedding.part import Encoder, read_encoder
from export.graphs import export_graph
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, write_part
from export.preference.detail import DETAIL, MeasuredHead
from export.preference.quality import (
    held_ladders,
    pairs_right_by_kind,
    train_quality_head,
    versions_of_split,
)
from export.preference.versions import VERSIONS_FOLDER, decoded, read_versions
from export.run import RunFolder
from export.training_split import data_sources, open_training, read_split
from schemas.bundle import Graph, MeasuredInput, OutputInput, ScoreHead

GRAPH_FILE = "preference.onnx"
_EXAMPLES = 8


def train_quality(arguments: argparse.Namespace) -> int:
    """Train on degraded versions of one's own photos, measure on held-back groups; 0 when done.

    Raises:
        DatasetError: there are too few images, or too many that do not decode.
        PartError: --encoder is no embedding.

    """
    encoder = read_encoder(Path(arguments.encoder))
    split = read_split(arguments.images, arguments)
    run = open_training(arguments, split)
    versions = read_versions(
        encoder, split["train"] + split["test"], arguments.seed, run.path / VERSIONS_FOLDER,
        arguments.max_broken,
    )  # fmt: skip
    train, held = versions_of_split(versions, split)
    head = train_quality_head(train, arguments.seed, arguments.epochs)
    right = pairs_right_by_kind(head, held_ladders(held, arguments.seed))
    paths = {example.name: example.path for example in split["train"].examples}
    names = train.names[:_EXAMPLES].tolist()
    images = np.stack([decoded(encoder, paths[name].read_bytes())[0] for name in names])
    folder = _write(arguments, run, encoder, MeasuredHead(head).eval(), images, right)
    print(f"part: {folder}; pairs of held photos ranked right: {right}")  # noqa: T201
    return 0


def _write(
    arguments: argparse.Namespace,
    run: RunFolder,
    encoder: Encoder,
    network: MeasuredHead,
    images: NDArray[np.uint8],
    right: dict[str, float],
) -> Path:
    """Write the Part; gives its folder."""
    folder: Path = run.path / PARTS_FOLDER / arguments.name
    folder.mkdir(parents=True)
    inputs = {
        "images": torch.from_numpy(images), "vectors": torch.from_numpy(encoder.vectors(images)),
        "measured": torch.ones(len(images), len(DETAIL)),
    }  # fmt: skip
    export_graph(network, inputs, folder / GRAPH_FILE, ["score"])
    graphs = encoder.copy_graphs(folder)
    own = Graph(
        file=GRAPH_FILE,
        inputs={
            "images": encoder.image,
            "vectors": OutputInput(output=encoder.head.output),
            "measured": MeasuredInput(measures=DETAIL),
        },
        outputs={f"{arguments.name}.score": "score"},
    )
    part = Part(
        head=ScoreHead(
            kind="preference", name=arguments.name, output=f"{arguments.name}.score",
            description="photo quality, ranked over controlled degradations; higher is better",
        ),
        graphs=[*graphs, own],
        files=[describe_file(folder / graph.file) for graph in (*graphs, own)],
        figures={"pairs of held photos ranked right": dict(right)},
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.images),
        command=run.config()["command"],
    )  # fmt: skip
    write_part(folder, part, Examples([images], network(*inputs.values()).detach().numpy()))
    return folder
