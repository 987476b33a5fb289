"""The starter's Parts: four heads of one graph, and the tags over its embedding."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from export.embedding.heads import COPY_DIM
from export.embedding.pixels import SIDE
from export.embedding.trunk import EMBEDDING_DIM
from export.parts import PARTS_FOLDER, Examples, Part, PartFolder, describe_file, write_part
from schemas.bundle import CopyHead, EmbeddingHead, Graph, Head, ImageInput, ScoreHead, TagHead, head_name
from schemas.policy import Threshold

GRAPH_FILE, TAGS_FILE = "scorer.onnx", "tags.forest"
MAX_BYTES = 10_000_000
THRESHOLD = 0.5
_RULE = "0.5 is the largest rate common to both that flags at most 0.3 % of any group of products"
SCORES = (
    ScoreHead(
        name="text", output="text", kind="novelty",
        description="how surely the image is a text notice; 0.5 is the threshold at 0.3 % false positives",
    ),
    ScoreHead(
        name="qr", output="qr", kind="novelty",
        description="how surely the image is a QR code; 0.5 is the threshold at 0.3 % false positives",
    ),
    ScoreHead(
        name="preference", output="preference", kind="preference",
        description="photo quality, ranked over controlled degradations; higher is better",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Trait:
    """What the heads are told beside their weights."""

    space: str
    near_duplicate_distance: float
    copy_distance: float
    minimum_tag_score: float


def write_parts(
    run: Path,
    trait: Trait,
    examples: Mapping[str, Examples],
    seed: int,
    data_sha256: str,
    figures: Mapping[str, Mapping[str, JsonValue]],
) -> list[PartFolder]:
    """Write the Part of every head to the run folder, in which graph and forest lie.

    Args:
        run: a folder with GRAPH_FILE and TAGS_FILE.
        trait: see the class.
        examples: by head; tags have those of the embedding.
        seed: of the training.
        data_sha256: of all that was trained on.
        figures: by head.

    """
    heads: list[Head] = [
        EmbeddingHead(
            output="embedding",
            dim=EMBEDDING_DIM,
            space=trait.space,
            near_duplicate_distance=trait.near_duplicate_distance,
        ),
        *SCORES,
        CopyHead(
            output="copy",
            dim=COPY_DIM,
            space=f"{trait.space}-copy",
            near_duplicate_distance=trait.copy_distance,
        ),
        TagHead(
            output="embedding",
            file=TAGS_FILE,
            format="forest",
            minimum_score=trait.minimum_tag_score,
        ),
    ]
    return [
        _write(run, head, examples[head.output], seed, data_sha256, figures.get(head_name(head), {}))
        for head in heads
    ]


def _write(
    run: Path, head: Head, examples: Examples, seed: int, data: str, figures: Mapping[str, JsonValue]
) -> PartFolder:
    folder = run / PARTS_FOLDER / head_name(head)
    folder.mkdir(parents=True, exist_ok=True)
    names = [GRAPH_FILE, *([TAGS_FILE] if isinstance(head, TagHead) else [])]
    for name in names:
        shutil.copyfile(run / name, folder / name)
    blocks = isinstance(head, ScoreHead) and head.kind == "novelty"
    part = Part(
        head=head,
        graphs=[
            Graph(
                file=GRAPH_FILE,
                inputs={"images": ImageInput(height=SIDE, width=SIDE)},
                outputs={head.output: head.output},
            )
        ],
        files=[describe_file(folder / name) for name in names],
        threshold=Threshold(block=THRESHOLD) if blocks else None,
        threshold_rule="the largest common rate that leaves 0.3 % of every group of products"
        if blocks
        else "",
        figures=dict(figures),
        seeds=[seed],
        data_sha256=data,
        command="mekiki bundle starter",
    )
    return write_part(folder, part, examples)
