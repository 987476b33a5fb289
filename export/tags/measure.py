"""Measure a set of tags on images that it was not trained on, as the worker serves it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.metrics import average_precision_score

from worker.model.forest.calibrate import least_margins, probabilities
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import ForestFile
from worker.model.forest.kernels import choose_kernel

_BANDS = ((0, 9), (10, 49), (50, 199), (200, 999), (1000, None))
_BINS = 15
_MANY = 50
_TAGS = 1024  # at a time
_LEVELS = 4096  # of probability, for the average precision over all tags at once
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TagFigures:
    """Of one tag on held images."""

    name: str
    positives: int
    held_positives: int
    average_precision: float
    f1: float
    calibration_error: float


def measure_tags(
    forest: ForestFile, vectors: NDArray[np.float32], positives: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[str, JsonValue], list[TagFigures]]:
    """Figures of the set, and of each tag that one of the held images has.

    Args:
        forest: the tags.
        vectors: float32 [n, dim] of images of senders that were not trained on.
        positives: by tag the images that have it.

    """
    evaluator = Evaluator(forest, choose_kernel(len(forest.trees)), 0)
    least = least_margins(forest, forest.tags["threshold"])
    found: list[TagFigures] = []
    histogram = np.zeros((2, _LEVELS + 1))
    for place, margins in _by_tag(evaluator, vectors):
        name = forest.names[place]
        labels = np.zeros(len(vectors), bool)
        labels[positives.get(name, [])] = True
        scores = probabilities(forest, np.full(len(vectors), place, np.uint32), margins)
        level = (scores * _LEVELS).astype(int)
        histogram[0] += np.bincount(level[~labels], minlength=_LEVELS + 1)
        histogram[1] += np.bincount(level[labels], minlength=_LEVELS + 1)
        if labels.any():
            found.append(
                TagFigures(
                    name, int(forest.tags[place]["positives"]), int(labels.sum()),
                    float(average_precision_score(labels, margins)), _f1(labels, margins >= least[place]),
                    calibration_error(scores, labels),
                )
            )  # fmt: skip
    evaluator.close()
    return _summary(found, histogram), found


def _by_tag(evaluator: Evaluator, vectors: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Margins [n] of every tag, a few at a time: all of them at once may be many gigabytes."""
    tags = evaluator.forest.header.tags
    for begin in range(0, tags, _TAGS):
        margins = evaluator.margins(vectors, begin, min(tags, begin + _TAGS))
        yield from ((begin + place, margins[:, place]) for place in range(margins.shape[1]))


def _f1(labels: NDArray[np.bool_], named: NDArray[np.bool_]) -> float:
    return float(2 * (labels & named).sum() / (labels.sum() + named.sum()))


def calibration_error(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> float:
    """Expected calibration error (Naeini et al. 2015): over 15 bins of equal width, by their sizes."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    said = np.bincount(bins, weights=scores, minlength=_BINS)
    true = np.bincount(bins, weights=labels, minlength=_BINS)
    return float(np.abs(said - true).sum() / count.sum())


def _summary(found: Sequence[TagFigures], histogram: Floats) -> dict[str, JsonValue]:
    if not found:
        return {"tags": 0}
    many = [tag for tag in found if tag.positives >= _MANY]
    figures: dict[str, JsonValue] = {
        "tags": len(found),
        "macro average precision": _mean([tag.average_precision for tag in found]),
        "micro average precision": round(_micro(histogram), 4),
        "macro F1": _mean([tag.f1 for tag in found]),
    }
    for low, high in _BANDS:
        band = [tag for tag in found if tag.positives >= low and (high is None or tag.positives <= high)]
        if band:
            label = f"{low} to {high}" if high else f"{low} and more"
            figures[f"F1 of tags with {label} images"] = f"{_mean([t.f1 for t in band])} ({len(band)} tags)"
    if many:
        figures[f"calibration error, {_MANY} and more images"] = _mean([t.calibration_error for t in many])
        figures["largest calibration error of these"] = round(max(t.calibration_error for t in many), 4)
    return figures


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _micro(histogram: Floats) -> float:
    """Average precision over all pairs of image and tag, from how many have each level of probability."""
    hits = np.cumsum(histogram[1][::-1])
    named = np.cumsum(histogram.sum(axis=0)[::-1])
    gained = np.diff(hits, prepend=0) / max(1.0, hits[-1])
    return float((gained * hits / np.maximum(named, 1)).sum())
