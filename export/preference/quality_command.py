"""`mekiki train preference --images`: photo quality over an encoder's vectors, as a Part."""

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from export.data import (
    Dataset,
)
from export.embedding.part import Encoder, read_encoder
from export.graphs import export_graph
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, write_part
from export.preference.detail import DETAIL, MeasuredHead, detail_features
from export.preference.head import PreferenceHead, train_preference
from export.preference.ladder import LEVELS, QUALITY_DEGRADATIONS, degrade
from export.training_split import data_sources, open_training, read_split
from schemas.bundle import Graph, MeasuredInput, OutputInput, ScoreHead
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode_inputs

GRAPH_FILE = "preference.onnx"
_EXAMPLES = 8
_LONGEST_SIDE = 1024
_PNG_SHARE = 0.4
# Of each photo: the kind that shows least, and as many of the others as this; with one kind a photo each had
# too few examples (docs/models.md).
_EVERY_PHOTO = "tilt"
_OTHERS_A_PHOTO = 2
EPOCHS = 30
_Decoded = tuple[NDArray[np.uint8], list[float]]


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
    folder = run.path / PARTS_FOLDER / arguments.name
    folder.mkdir(parents=True)
    ladders = {name: _ladders(encoder, dataset, arguments.seed) for name, dataset in split.items()}
    head = train_preference(ladders["train"].quality, arguments.seed, arguments.epochs or EPOCHS)
    right = pairs_right_by_kind(head, ladders["test"])
    network = MeasuredHead(head).eval()
    width = encoder.head.dim
    examples = {"vectors": torch.zeros(2, width), "measured": torch.ones(2, len(DETAIL))}
    export_graph(network, examples, folder / GRAPH_FILE, ["score"])
    graphs = encoder.copy_graphs(folder)
    own = Graph(
        file=GRAPH_FILE,
        inputs={
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
        figures={"pairs of held photos ranked right": right},
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.images),
        command=run.config()["command"],
    )  # fmt: skip
    images = ladders["train"].images
    given = network(torch.from_numpy(encoder.vectors(images)), torch.ones(len(images), len(DETAIL)))
    write_part(folder, part, Examples([images], given.detach().numpy()))
    print(f"part: {folder}; pairs of held photos ranked right: {right}")  # noqa: T201
    return 0


@dataclass(frozen=True)
class Ladders:
    """Photos at several qualities, best first: float32 [n, LEVELS + 1, width], and the kind of each [n].

    `images` are the first few photos as the encoder takes them.
    """

    quality: NDArray[np.float32]
    kinds: NDArray[np.str_]
    images: NDArray[np.uint8]


def pairs_right_by_kind(head: PreferenceHead, ladders: Ladders) -> dict[str, JsonValue]:
    """Share of versions that are ranked below their original, by kind; of all kinds the mean."""
    with torch.no_grad():
        utility = head.margin(torch.from_numpy(ladders.quality).flatten(0, 1)).view(len(ladders.kinds), -1)
    right = (utility[:, :1] > utility[:, 1:]).numpy()
    by_kind = {kind: right[ladders.kinds == kind] for kind in sorted(set(ladders.kinds.tolist()))}
    every = {kind: float(own.mean()) for kind, own in by_kind.items()}
    mild = {kind: float(own[:, 0].mean()) for kind, own in by_kind.items()}
    found: dict[str, JsonValue] = {"all": _mean(every), "mild": _mean(mild)}
    for kind in by_kind:
        found[kind], found[f"{kind}, mild"] = round(every[kind], 4), round(mild[kind], 4)
    return found


def _mean(shares: dict[str, float]) -> float:
    return round(sum(shares.values()) / len(shares), 4)


def _ladders(encoder: Encoder, dataset: Dataset, seed: int) -> Ladders:
    """Each photo and LEVELS versions of it, of each of a few kinds, decoded as the worker would."""
    rng = np.random.default_rng(seed)
    others = [kind for kind in QUALITY_DEGRADATIONS if kind != _EVERY_PHOTO]
    quality: list[NDArray[np.float32]] = []
    kinds: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for example in dataset.examples:
        data = example.path.read_bytes()
        try:
            original = _decoded(encoder, data)
        except Rejection:
            continue
        with Image.open(example.path) as opened:
            photo = opened.convert("RGB")
        photo.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        drawn = [_EVERY_PHOTO, *rng.choice(others, _OTHERS_A_PHOTO, replace=False).tolist()]
        steps = [step for kind in drawn for step in _steps(rng, encoder, photo, original, kind)]
        pixels = np.stack([shown for shown, _ in steps])
        numbers = detail_features(torch.tensor([measured for _, measured in steps])).numpy()
        versions = np.concatenate([encoder.vectors(pixels), numbers], axis=1)
        quality.append(versions.reshape(len(drawn), LEVELS + 1, -1))
        kinds += drawn
        images += [pixels[0]] if len(images) < _EXAMPLES else []
    return Ladders(np.concatenate(quality), np.array(kinds, dtype=str), np.stack(images))


def _steps(
    rng: np.random.Generator, encoder: Encoder, photo: Image.Image, original: _Decoded, kind: str
) -> list[_Decoded]:
    """The photo and LEVELS versions of it, best first."""
    made = [_upload(rng, degrade(rng, photo, kind, level)) for level in range(1, LEVELS + 1)]
    # Half of the originals are saved anew too, so that being saved anew is no sign of anything.
    first = original if rng.random() < 0.5 else _decoded(encoder, _upload(rng, photo))
    return [first, *(_decoded(encoder, upload) for upload in made)]


def _decoded(encoder: Encoder, data: bytes) -> _Decoded:
    found = decode_inputs(data, [encoder.image], ImageLimits(), with_detail=True)
    return found.pixels, [found.measured[name] for name in DETAIL]


def _upload(rng: np.random.Generator, photo: Image.Image) -> bytes:
    """As a seller's program would save it: a JPEG that is hardly smaller, or a PNG."""
    out = io.BytesIO()
    if rng.random() < _PNG_SHARE:
        photo.save(out, "PNG", compress_level=1)
    else:
        photo.save(out, "JPEG", quality=int(rng.integers(88, 97)))
    return out.getvalue()
