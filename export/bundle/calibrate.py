"""`mekiki bundle calibrate`: thresholds for an existing bundle from labelled photos. Needs no torch.

Half of the sellers choose the thresholds, the other half measures what they do.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle.changed import write_changed
from export.data import Columns, Dataset, Example, parse_source, read_source, split_by_group
from export.errors import DatasetError
from schemas.bundle import BINS, score_bin
from schemas.policy import Threshold
from worker.errors import Rejection
from worker.model.bundle import read_manifest
from worker.model.decode import DecodedImage, ImageLimits, decode_inputs
from worker.model.infer import ImageBatch, Model
from worker.model.session import Execution

ACCEPT, BLOCK = "accept", "block"
_BATCH = 32
_SALT = "calibrate"
_Z = 1.959964  # 95 %


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with the Wilson score interval of 95 % (E. B. Wilson, 1927)."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share; 0 of nothing is 0."""
        return self.count / self.total if self.total else 0.0

    def interval(self) -> tuple[float, float]:
        """Where the true share lies."""
        if not self.total:
            return 0.0, 1.0
        n, p = self.total, self.value
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.value:.2%} ({self.count} of {self.total}; 95 %: {low:.2%} to {high:.2%})"


@dataclass(frozen=True)
class Calibration:
    """Levels by score, and what they do to images of other sellers; `reference` is how scores are spread."""

    levels: Mapping[str, float]
    reference: Mapping[str, Sequence[float]]
    blocked_by_mistake: Share
    blocked_rightly: Share
    unreadable: int

    def toml(self) -> str:
        """For the settings."""
        mistakes, rightly = self.blocked_by_mistake, self.blocked_rightly
        lines = [f"# blocked by mistake {mistakes}", f"# blocked rightly {rightly}"]
        for name, level in self.levels.items():
            lines += [f"[model.policy.thresholds.{name}]", f"block = {level!r}"]
        return "\n".join(lines) + "\n"


def calibrate(bundle: Path, labels: str, most_mistakes: float, uploads: str | None = None) -> Calibration:
    """Choose a level for each novelty score, so that at most `most_mistakes` of accepted images are blocked.

    `uploads` is a sample of ordinary ones for the reference, in place of the labelled images.
    Each score gets its share of them. `labels` is a source of `export.data`, of labels accept and block.

    Raises:
        BundleError: the bundle is missing or damaged.
        DatasetError: there are too few images of a label, or others.

    """
    manifest, _ = read_manifest(bundle)
    names = [head.name for head in manifest.scores if head.kind == "novelty"]
    if not names:
        raise DatasetError(f"{bundle} has no novelty score to calibrate")
    dataset = read_source(parse_source(labels), Columns())
    if others := set(dataset.labels()) - {ACCEPT, BLOCK}:
        raise DatasetError(f"{labels}: labels are {ACCEPT} and {BLOCK}, not {', '.join(sorted(others))}")
    parts = split_by_group(dataset, {"choose": 0.5, "measure": 0.5}, _SALT)
    model = Model(manifest, bundle, Execution())
    chosen, measured = (_scores(model, part) for part in (parts["choose"], parts["measure"]))
    least = math.ceil(len(names) / most_mistakes)
    if len(chosen.of(ACCEPT, names[0])) < least:
        raise DatasetError(
            f"{labels}: {len(chosen.of(ACCEPT, names[0]))} accepted images choose the thresholds; "
            f"{most_mistakes:.2%} mistakes take {least}, of twice as many sellers' images"
        )
    levels = {name: level(chosen.of(ACCEPT, name), most_mistakes / len(names)) for name in names}
    ordinary = _scores(model, dataset if uploads is None else read_source(parse_source(uploads), Columns()))
    return Calibration(
        levels,
        {name: spread(values) for name, values in ordinary.scores.items()},
        measured.blocked(ACCEPT, levels),
        measured.blocked(BLOCK, levels),
        chosen.unreadable + measured.unreadable,
    )


def spread(values: NDArray[np.float64]) -> list[float]:
    """The share of `values` in each bin, to six digits."""
    counts = np.bincount([score_bin(value) for value in values], minlength=BINS)
    return [round(float(count) / len(values), 6) for count in counts]


def write(bundle: Path, found: Calibration, version: str, out: Path) -> str:
    """A copy of `bundle` at `out` with these levels and this reference, as `version`; returns its id.

    Raises:
        BundleError: the bundle is damaged.
        DatasetError: `out` is there already.

    """
    manifest, _ = read_manifest(bundle)
    thresholds = dict(manifest.policy.thresholds)
    for name, block in found.levels.items():
        before = thresholds.get(name, Threshold())
        review = None if before.review is None else min(before.review, block)
        thresholds[name] = Threshold(block=block, review=review, unless=before.unless)
    shares = {
        "blocked_by_mistake": str(found.blocked_by_mistake),
        "blocked_rightly": str(found.blocked_rightly),
    }
    changed = manifest.model_copy(
        update={
            "version": version,
            "policy": manifest.policy.model_copy(update={"thresholds": thresholds}),
            "reference": {name: list(part) for name, part in found.reference.items()},
            "figures": {**manifest.figures, "calibration": shares},
        }
    )
    return write_changed(bundle, changed, out)


def level(accepted: NDArray[np.float64], most_mistakes: float) -> float:
    """The lowest level, to four digits, that at most this share of `accepted` reaches."""
    allowed = int(most_mistakes * len(accepted))
    ordered = np.sort(accepted)[::-1]
    return math.floor(float(ordered[allowed]) * 10_000 + 1) / 10_000


@dataclass(frozen=True)
class _Scored:
    """Scores by name, float64 [images], beside the labels."""

    labels: Sequence[str]
    scores: Mapping[str, NDArray[np.float64]]
    unreadable: int

    def of(self, label: str, name: str) -> NDArray[np.float64]:
        return self.scores.get(name, np.zeros(0))[[each == label for each in self.labels]]

    def blocked(self, label: str, levels: Mapping[str, float]) -> Share:
        reached = [self.of(label, name) >= at for name, at in levels.items()]
        return Share(int(np.any(reached, axis=0).sum()), len(reached[0]))


def _scores(model: Model, dataset: Dataset) -> _Scored:
    labels: list[str] = []
    parts: list[Mapping[str, NDArray[np.float32]]] = []
    unreadable = 0
    for examples, images in _batches(model, dataset):
        unreadable += sum(image is None for image in images)
        there = [image for image in images if image is not None]
        labels += [one.label for one, image in zip(examples, images, strict=True) if image is not None]
        if there:
            parts.append(model.infer(_batch(there)).scores)
    names = parts[0].keys() if parts else ()
    scores = {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in names}
    return _Scored(labels, scores, unreadable)


def _batches(model: Model, dataset: Dataset) -> Iterator[tuple[Sequence[Example], list[DecodedImage | None]]]:
    inputs, measures = model.manifest.image_inputs(), model.manifest.detail_measures()
    for begin in range(0, len(dataset), _BATCH):
        examples = dataset.examples[begin : begin + _BATCH]
        images: list[DecodedImage | None] = []
        for example in examples:
            try:
                data = example.path.read_bytes()
                images.append(decode_inputs(data, inputs, ImageLimits(), measures=measures))
            except (Rejection, OSError):
                images.append(None)
        yield examples, images


def _batch(images: Sequence[DecodedImage]) -> ImageBatch:
    pixels = [np.stack(sizes) for sizes in zip(*(image.sizes for image in images), strict=True)]
    measured = {
        name: np.array([image.measured[name] for image in images], np.float32) for name in images[0].measured
    }
    return ImageBatch(pixels, measured)
