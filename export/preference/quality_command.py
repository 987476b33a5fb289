"""`mekiki train preference --images`: photo quality over an encoder's vectors, as a Part."""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from export.data import (
    Dataset,
)
from export.embedding.part import Encoder, read_encoder
from export.graphs import export_onnx
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, run_part, write_part
from export.preference.head import pair_accuracy, train_preference
from export.preference.ladder import DEGRADATIONS, LEVELS, degrade
from export.training_split import data_sources, open_training, read_split
from schemas.bundle import Graph, OutputInput, ScoreHead
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode_inputs

GRAPH_FILE = "preference.onnx"
_EXAMPLES = 8
_LONGEST_SIDE = 1024


def train_quality(arguments: argparse.Namespace) -> int:
    """Train on degraded versions of one's own photos, measure on held-back groups; 0 when done.

    Raises:
        DatasetError: there are too few images.
        PartError: --encoder is no embedding.

    """
    torch.manual_seed(arguments.seed)
    encoder = read_encoder(Path(arguments.encoder))
    split = read_split(arguments.images, arguments)
    run = open_training(arguments, split)
    folder = run.path / PARTS_FOLDER / "preference"
    folder.mkdir(parents=True)
    ladders = {name: _ladders(encoder, dataset, arguments.seed) for name, dataset in split.items()}
    vectors = {
        name: encoder.vectors(held.reshape(-1, *held.shape[2:])).reshape(*held.shape[:2], -1)
        for name, held in ladders.items()
    }
    head = train_preference(vectors["train"], arguments.seed, arguments.epochs or 30)
    right = round(pair_accuracy(head, vectors["test"]), 4)
    export_onnx(head, torch.zeros(2, encoder.head.dim), folder / GRAPH_FILE, ["score"], "vectors")
    graphs = encoder.copy_graphs(folder)
    own = Graph(
        file=GRAPH_FILE,
        inputs={"vectors": OutputInput(output=encoder.head.output)},
        outputs={"preference.score": "score"},
    )
    part = Part(
        head=ScoreHead(
            kind="preference", name="preference", output="preference.score",
            description="photo quality, ranked over controlled degradations; higher is better",
        ),
        graphs=[*graphs, own],
        files=[describe_file(folder / graph.file) for graph in (*graphs, own)],
        figures={"pairs of held photos ranked right": right},
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.images),
        command=run.config()["command"],
    )  # fmt: skip
    found = write_part(folder, part)
    images = ladders["train"][:_EXAMPLES, 0]
    write_part(folder, part, Examples([images], run_part(found, [images])))
    print(f"part: {folder}; pairs of held photos ranked right: {right}")  # noqa: T201
    return 0


def _ladders(encoder: Encoder, dataset: Dataset, seed: int) -> NDArray[np.uint8]:
    """Each photo at LEVELS + 1 qualities, best first, decoded as the worker would: uint8 [n, levels, ...]."""
    rng = np.random.default_rng(seed)
    found = []
    for example in dataset.examples:
        try:
            decode_inputs(example.path.read_bytes(), [encoder.image], ImageLimits())
        except Rejection:
            continue
        with Image.open(example.path) as opened:
            photo = opened.convert("RGB")
        photo.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        kind = DEGRADATIONS[int(rng.integers(len(DEGRADATIONS)))]
        steps = [photo, *(degrade(rng, photo, kind, level) for level in range(1, LEVELS + 1))]
        found.append(np.stack([_pixels(encoder, step) for step in steps]))
    return np.stack(found)


def _pixels(encoder: Encoder, photo: Image.Image) -> NDArray[np.uint8]:
    out = io.BytesIO()
    photo.save(out, "PNG", compress_level=1)
    return decode_inputs(out.getvalue(), [encoder.image], ImageLimits()).pixels
