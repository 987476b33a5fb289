"""Writing a bundle folder: the manifest with digests, and the model card from measured figures."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from export.embedding.pixels import SIDE
from export.embedding.trunk import EMBEDDING_DIM
from schemas.bundle import (
    BundleFile,
    BundleManifest,
    EmbeddingHead,
    Graph,
    ImageInput,
    ScoreHead,
    TagHead,
)
from schemas.policy import Policy, Threshold

GRAPH_FILE, TAGS_FILE, CARD_FILE, MANIFEST_FILE = "scorer.onnx", "tags.ubj", "MODEL_CARD.md", "manifest.json"
MAX_BYTES = 10_000_000
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
class Thresholds:
    """What the manifest's policy and near-duplicate rule say."""

    text: float
    qr: float
    near_duplicate_distance: float
    minimum_tag_score: float


def _digest(path: Path) -> BundleFile:
    data = path.read_bytes()
    return BundleFile(name=path.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def write_manifest(
    folder: Path,
    version: str,
    thresholds: Thresholds,
    tag_names: list[str],
    figures: Mapping[str, JsonValue],
) -> BundleManifest:
    """Write `manifest.json` for the files that lie in `folder`.

    Raises:
        ValueError: the bundle is over MAX_BYTES, or the manifest contradicts itself.

    """
    files = [_digest(folder / name) for name in (GRAPH_FILE, TAGS_FILE, CARD_FILE)]
    if (total := sum(file.bytes for file in files)) > MAX_BYTES:
        raise ValueError(
            f"the bundle has {total} bytes, more than {MAX_BYTES}: fewer tag rounds make it smaller"
        )
    manifest = BundleManifest(
        name="starter",
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        graphs=[
            Graph(
                file=GRAPH_FILE,
                inputs={"images": ImageInput(height=SIDE, width=SIDE)},
                outputs={name: name for name in ("embedding", "text", "qr", "preference")},
            )
        ],
        heads=[
            EmbeddingHead(
                output="embedding",
                dim=EMBEDDING_DIM,
                space=f"starter-{version}",
                near_duplicate_distance=thresholds.near_duplicate_distance,
            ),
            *SCORES,
            TagHead(
                output="embedding",
                file=TAGS_FILE,
                names=tag_names,
                minimum_score=thresholds.minimum_tag_score,
            ),
        ],
        policy=Policy(
            thresholds={"text": Threshold(block=thresholds.text), "qr": Threshold(block=thresholds.qr)}
        ),
        files=files,
        figures=dict(figures),
    )
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest
