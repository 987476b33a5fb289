"""Write or read the golden fixture: `python -m tests.golden.starter` writes it anew.

`starter.json` names bundle, images, decisions and tags; `starter.npz` holds scores float32 [n, scores]
and vectors float32 [n, dim], row by row.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from schemas.events import UPLOADED, ImageReference, ImageUploaded
from worker.metrics import Metrics
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode
from worker.score.judge import Judge
from worker.score.prepare import Prepared
from worker.score.served import served
from worker.settings import ModelSettings

IMAGES = Path(__file__).parents[2] / "worker" / "demo" / "assets"
TEXT, NUMBERS = Path(__file__).with_name("starter.json"), Path(__file__).with_name("starter.npz")
_SUFFIXES = {".jpg", ".png", ".webp"}


@dataclass(frozen=True)
class Golden:
    """Verdicts of all images: scores float32 [n, scores], vectors float32 [n, dim]."""

    text: dict[str, Any]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]


def judged() -> Golden:
    """The verdicts of today's code on the demo's images, in batches of 32."""
    bundle = load_bundle(ModelSettings(threads=1))
    (size,) = bundle.manifest.image_inputs()
    paths = sorted(path for path in IMAGES.rglob("*") if path.suffix in _SUFFIXES)
    prepared = [_prepared(path, size.height, size.width) for path in paths]
    serving = served(bundle, bundle.manifest.policy)
    judge = Judge(lambda: serving, Metrics(CollectorRegistry()))
    verdicts = [v for start in range(0, len(prepared), 32) for v in judge(prepared[start : start + 32])]
    names = sorted(verdicts[0].scores)
    text = {
        "bundle": bundle.id,
        "scores": names,
        "images": [
            {
                "path": verdict.event.image_id,
                "decision": verdict.decision,
                "reasons": [reason.score for reason in verdict.reasons],
                "tags": {tag.name: tag.score for tag in verdict.tags},
            }
            for verdict in verdicts
        ],
    }
    scores = np.array([[verdict.scores[name] for name in names] for verdict in verdicts], np.float32)
    return Golden(text, scores, np.stack([verdict.embedding for verdict in verdicts]))


def read() -> Golden:
    """The fixture as committed."""
    with np.load(NUMBERS) as held:
        return Golden(json.loads(TEXT.read_text(encoding="utf-8")), held["scores"], held["vectors"])


def _prepared(path: Path, height: int, width: int) -> Prepared:
    name, data = path.relative_to(IMAGES).as_posix(), path.read_bytes()
    event = ImageUploaded(
        type=UPLOADED, event_id=name, image_id=name, uploaded_at=datetime(2026, 11, 21, tzinfo=UTC),
        image=ImageReference(path=name),
    )  # fmt: skip
    return Prepared(event, hashlib.sha256(data).hexdigest(), decode(data, height, width, ImageLimits()).sizes)


if __name__ == "__main__":
    made = judged()
    TEXT.write_text(json.dumps(made.text, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(NUMBERS, scores=made.scores, vectors=made.vectors)
