"""`mekiki train embedding`: an image encoder of one's own as a Part, reduced on one's own images if asked."""

import argparse
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from sklearn.decomposition import PCA

from export.embedding.comparison import HISTOGRAM, side_by_side
from export.embedding.duplicates import copy_distances, distance_between, nearest_other
from export.embedding.encoder import PRESETS, Preprocessing, wrap_encoder, write_reduction
from export.embedding.ranking_command import train_ranking
from export.errors import EncoderError
from export.graphs import run_onnx
from export.metrics import Share
from export.parts import (
    PARTS_FOLDER,
    Examples,
    Part,
    PartFolder,
    describe_file,
    run_part,
    write_part,
)
from export.pixels import DecodedSet
from export.retrieval import colour_histogram
from export.run import RunFolder
from export.training_split import data_sources, decode_split, open_training, read_split
from schemas.bundle import EmbeddingHead, Graph, ImageInput, OutputInput

ENCODER_FILE, EMBEDDING_FILE = "encoder.onnx", "embedding.onnx"
_FALSE_SHARE = 0.01
_EXAMPLES = 8
Vectors = NDArray[np.float32]


def train_embedding(arguments: argparse.Namespace) -> int:
    """Wrap, reduce, measure and leave the Part, or train heads over a trained net; 0 when done.

    Raises:
        EncoderError: the file cannot serve as an encoder as asked.
        DatasetError: the images cannot be used.

    """
    if arguments.weights or Path(arguments.encoder).is_dir():
        return train_ranking(arguments)
    preprocessing = _preprocessing(arguments)
    split = read_split(arguments.images, arguments)
    run = open_training(arguments, split)
    folder = run.path / PARTS_FOLDER / "embedding"
    folder.mkdir(parents=True)
    target, source = folder / ENCODER_FILE, Path(arguments.encoder)
    wrap_encoder(source, preprocessing, target, output=arguments.output, pool=arguments.pool)
    decoded = decode_split(split, preprocessing.image, run, arguments.max_broken)
    part = _part(arguments, preprocessing.image, folder, decoded, run)
    for name, value in part.part.figures.items():
        print(f"{name}: {value}")  # noqa: T201 - what the command answers
    print(f"part: {part.path}, for `mekiki bundle assemble --part {run.path}`, or --encoder {run.path}")  # noqa: T201
    return 0


def _part(
    arguments: argparse.Namespace,
    image: ImageInput,
    folder: Path,
    decoded: dict[str, DecodedSet],
    run: RunFolder,
) -> PartFolder:
    raw = _raw_vectors(folder, decoded["train"].images)
    mean, components, told = _reduction(raw, arguments.dim, arguments.seed)
    dim = raw.shape[1]
    write_reduction(folder / EMBEDDING_FILE, mean, components, dim)
    files = [describe_file(folder / name) for name in (ENCODER_FILE, EMBEDDING_FILE)]
    space = f"{arguments.name}-{files[0].sha256[:8]}-{files[1].sha256[:4]}"
    head = EmbeddingHead(
        output="embedding", space=space, near_duplicate_distance=0,
        dim=dim if components is None else components.shape[1],
    )  # fmt: skip
    part = Part(
        head=head,
        graphs=[
            Graph(file=ENCODER_FILE, inputs={"images": image}, outputs={"vector": "vector"}),
            Graph(
                file=EMBEDDING_FILE, inputs={"vector": OutputInput(output="vector")},
                outputs={"embedding": "embedding"},
            ),
        ],
        files=files,
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=data_sources(arguments.images),
        command=run.config()["command"],
    )  # fmt: skip
    found = PartFolder(folder, part, str(run.path))
    own = {name: run_part(found, [held.images]) for name, held in decoded.items()}
    copies = {
        name: copy_distances(found, [example.path for example in held.dataset.examples], own[name])
        for name, held in decoded.items()
    }
    distance = distance_between(copies["train"], nearest_other(own["train"]), _FALSE_SHARE)
    figures: dict[str, JsonValue] = {
        **told,
        "near-duplicate distance": distance,
        "edited copies found": Share.of(copies["test"] <= distance).as_figure(),
        "photos with a false neighbour": Share.of(nearest_other(own["test"]) <= distance).as_figure(),
        **_retrieval(own["test"], decoded["test"]),
    }
    head = head.model_copy(update={"near_duplicate_distance": distance})
    examples = Examples([decoded["train"].images[:_EXAMPLES]], own["train"][:_EXAMPLES])
    return write_part(folder, part.model_copy(update={"head": head, "figures": figures}), examples)


def _raw_vectors(folder: Path, images: NDArray[np.uint8]) -> Vectors:
    """What the wrapped encoder gives: float32 [n, dim].

    Raises:
        EncoderError: it does not run, gives values that are not finite, or takes one image at a time alone.

    """
    try:
        vectors = run_onnx(folder / ENCODER_FILE, images)["vector"]
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own have no base of theirs
        raise EncoderError(
            f"the encoder does not run on a batch of images: {error}. Export it with a dynamic batch axis, "
            "in evaluation mode"
        ) from None
    if not np.isfinite(vectors).all():
        raise EncoderError("the encoder gives values that are not finite: export it in float32")
    return vectors


def _reduction(
    raw: Vectors, dim: int | None, seed: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, dict[str, JsonValue]]:
    """Mean [d] and whitened components [d, dim] of a principal component analysis, fitted on `raw` [n, d]."""
    if dim is None:
        return None, None, {}
    if dim > min(raw.shape):
        raise EncoderError(
            f"--dim {dim} is more than {len(raw)} images of {raw.shape[1]} numbers allow: give more images, "
            "or a smaller --dim"
        )
    analysis = PCA(dim, whiten=True, random_state=seed).fit(raw.astype(np.float64))
    components = analysis.components_.T / np.sqrt(analysis.explained_variance_)
    kept = float(analysis.explained_variance_ratio_.sum())
    return analysis.mean_, components, {"variance kept": round(kept, 4), "encoder's numbers": raw.shape[1]}


def _retrieval(vectors: Vectors, held: DecodedSet) -> dict[str, JsonValue]:
    """Search by label, other images of the same group left out, beside colours alone; none without labels."""
    spaces = {"encoder": vectors, HISTOGRAM: colour_histogram(held.images)}
    everything = np.full(len(vectors), "by label, other groups")
    return side_by_side(spaces, held.dataset, everything)


def _preprocessing(arguments: argparse.Namespace) -> Preprocessing:
    preset = PRESETS[arguments.preset]
    asked = {"height": arguments.size, "width": arguments.size, "resize": arguments.resize,
             "filter": arguments.filter, "crop_share": arguments.crop_share}  # fmt: skip
    changed = {name: value for name, value in asked.items() if value is not None}
    try:
        image = ImageInput.model_validate({**preset.image.model_dump(), **changed})
    except ValidationError as error:
        shown = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise EncoderError(f"the pixels cannot be made as asked: {shown}") from None
    if not re.fullmatch(r"[A-Za-z0-9._-]+", arguments.name):
        raise EncoderError(f"--name {arguments.name!r} may hold letters, digits, dots, - and _")
    return Preprocessing(
        image, tuple(arguments.mean or preset.mean), tuple(arguments.deviation or preset.deviation)
    )
