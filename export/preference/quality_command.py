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
from export.loop import cosine
from export.parts import PARTS_FOLDER, Examples, Part, describe_file, write_part
from export.preference.detail import DETAIL, MeasuredHead, quality_features
from export.preference.head import PreferenceHead, train_preference
from export.preference.ladder import LEVELS, QUALITY_DEGRADATIONS, TILTS, degrade
from export.preference.turning import kept_level, turned_elsewhere
from export.training_split import data_sources, open_training, read_split
from schemas.bundle import Graph, MeasuredInput, OutputInput, ScoreHead
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode_inputs

GRAPH_FILE = "preference.onnx"
_EXAMPLES = 8
_LONGEST_SIDE = 1024
_PNG_SHARE = 0.4
# Of each photo: the kind that shows least, twice, and as many of the others as this; with one kind a photo
# each had too few examples (docs/models.md).
_EVERY_PHOTO = ("tilt", "tilt")
_OTHERS_A_PHOTO = 2
# Beside those, of held photos: a renderer that training never sees; and originals resampled as finely.
_ELSEWHERE, _LEVEL = "tilt by OpenCV", "tilt of a resampled photo"
_LEVEL_SHARE = 0.15
EPOCHS = 45
_HIDDEN = 96
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
    ladders = {
        "train": _ladders(encoder, split["train"], arguments.seed, (*_EVERY_PHOTO,), _LEVEL_SHARE),
        "test": _ladders(encoder, split["test"], arguments.seed, (_EVERY_PHOTO[0], _ELSEWHERE, _LEVEL), 0.0),
    }
    head = train_preference(
        ladders["train"].quality, arguments.seed, arguments.epochs or EPOCHS, _HIDDEN, _rate
    )
    right = pairs_right_by_kind(head, ladders["test"])
    network = MeasuredHead(head).eval()
    width = encoder.head.dim
    pixels = torch.zeros(2, encoder.image.height, encoder.image.width, 3, dtype=torch.uint8)
    examples = {
        "images": pixels, "vectors": torch.zeros(2, width), "measured": torch.ones(2, len(DETAIL))
    }  # fmt: skip
    export_graph(network, examples, folder / GRAPH_FILE, ["score"])
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
        figures={"pairs of held photos ranked right": right},
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.images),
        command=run.config()["command"],
    )  # fmt: skip
    images = ladders["train"].images
    given = network(
        torch.from_numpy(images), torch.from_numpy(encoder.vectors(images)),
        torch.ones(len(images), len(DETAIL)),
    )  # fmt: skip
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
    usual = [kind for kind in by_kind if kind in QUALITY_DEGRADATIONS]
    found: dict[str, JsonValue] = {
        "all": _mean([every[kind] for kind in usual]), "mild": _mean([mild[kind] for kind in usual])
    }  # fmt: skip
    for kind in by_kind:
        found[kind], found[f"{kind}, mild"] = round(every[kind], 4), round(mild[kind], 4)
    return found


def _mean(shares: list[float]) -> float:
    return round(sum(shares) / len(shares), 4)


def _rate(progress: float) -> float:
    return 4e-3 * cosine(progress)


def _ladders(
    encoder: Encoder, dataset: Dataset, seed: int, always: tuple[str, ...], level_share: float
) -> Ladders:
    """Each photo and LEVELS versions of it, of `always` and a few other kinds, decoded as the worker would.

    A share of the originals is resampled first, so that smoothing alone is no sign of a tilt.
    """
    rng = np.random.default_rng(seed)
    others = [kind for kind in QUALITY_DEGRADATIONS if kind not in _EVERY_PHOTO]
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
        drawn = [*always, *rng.choice(others, _OTHERS_A_PHOTO, replace=False).tolist()]
        steps = [step for kind in drawn for step in _steps(rng, encoder, photo, original, kind, level_share)]
        pixels = np.stack([shown for shown, _ in steps])
        measured = torch.tensor([numbers for _, numbers in steps])
        vectors = torch.from_numpy(encoder.vectors(pixels))
        versions = quality_features(torch.from_numpy(pixels), vectors, measured).numpy()
        quality.append(versions.reshape(len(drawn), LEVELS + 1, -1))
        kinds += drawn
        images += [pixels[0]] if len(images) < _EXAMPLES else []
    return Ladders(np.concatenate(quality), np.array(kinds, dtype=str), np.stack(images))


def _steps(
    rng: np.random.Generator,
    encoder: Encoder,
    photo: Image.Image,
    original: _Decoded,
    kind: str,
    level_share: float,
) -> list[_Decoded]:
    """The photo and LEVELS versions of it, best first."""
    made = [_upload(rng, _degraded(rng, photo, kind, level)) for level in range(1, LEVELS + 1)]
    # Half of the originals are saved anew too, so that being saved anew is no sign of anything.
    first = original if rng.random() < 0.5 else _decoded(encoder, _upload(rng, photo))
    if kind == _LEVEL or rng.random() < level_share:
        first = _decoded(encoder, _upload(rng, kept_level(rng, photo, TILTS)))
    return [first, *(_decoded(encoder, upload) for upload in made)]


def _degraded(rng: np.random.Generator, photo: Image.Image, kind: str, level: int) -> Image.Image:
    if kind == _ELSEWHERE:
        return turned_elsewhere(rng, photo, TILTS[level - 1])
    return degrade(rng, photo, "tilt" if kind == _LEVEL else kind, level)


def _decoded(encoder: Encoder, data: bytes) -> _Decoded:
    found = decode_inputs(data, [encoder.image], ImageLimits(), measures=frozenset(DETAIL))
    return found.pixels, [found.measured[name] for name in DETAIL]


def _upload(rng: np.random.Generator, photo: Image.Image) -> bytes:
    """As a seller's program would save it: a JPEG that is hardly smaller, or a PNG."""
    out = io.BytesIO()
    if rng.random() < _PNG_SHARE:
        photo.save(out, "PNG", compress_level=1)
    else:
        photo.save(out, "JPEG", quality=int(rng.integers(88, 97)))
    return out.getvalue()
