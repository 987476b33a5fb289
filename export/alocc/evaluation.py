"""Measure trained models: each score of each space and seed, at thresholds set on training-side products."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.alocc.model import FUSED, Scores, score_images
from export.alocc.settings import AloccSettings, Space
from export.alocc.training import load_models
from export.data import Dataset
from export.metrics import Fusion, Measured, measure, summary, threshold_at_false_positives
from export.pixels import DecodedSet
from export.processes import Processes
from export.run import RunFolder


@dataclass(frozen=True)
class SeedResult:
    """One space and seed: the scores of the measured sets, and what they measure, by score name."""

    space: Space
    seed: int
    validation: Scores
    positive: Scores
    product: Scores
    measured: dict[str, Measured]


@dataclass(frozen=True)
class Group:
    """Images of one label among those measured, at the thresholds of the whole."""

    label: str
    images: int
    flagged: dict[str, float]


def evaluate_run(
    settings: AloccSettings,
    decoded: Mapping[Space, Mapping[str, DecodedSet]],
    run: RunFolder,
    processes: Processes,
) -> list[SeedResult]:
    """Measure every space and seed of a run; `decoded` holds the sets of `AloccSets` by space and name.

    Raises:
        RunFolderError: a training did not finish.

    """
    results = []
    for space in settings.spaces:
        models = load_models(space, settings, run, processes.device)
        scores = {
            name: dict(zip(models, score_images(list(models.values()), chosen.images), strict=True))
            for name, chosen in decoded[space].items()
            if name != "train"
        }
        for seed in models:
            own = {name: by_seed[seed] for name, by_seed in scores.items()}
            results.append(_measured(space, seed, own, settings.false_positive_rate))
    return results


def _measured(space: Space, seed: int, scores: dict[str, Scores], rate: float) -> SeedResult:
    fusion = Fusion.fit(scores["validation"])
    for values in scores.values():
        values[FUSED] = fusion(values)
    measured = {
        name: measure(
            scores["positive"][name],
            scores["product"][name],
            threshold_at_false_positives(scores["threshold"][name], rate),
        )
        for name in scores["positive"]
    }
    return SeedResult(space, seed, scores["validation"], scores["positive"], scores["product"], measured)


def groups(dataset: Dataset, scores: Scores, measured: Mapping[str, Measured]) -> list[Group]:
    """Share of images at or over the threshold by label and score, the labels sorted."""
    labels = np.array([example.label for example in dataset.examples])
    found = []
    for label in sorted(set(labels.tolist())):
        chosen = labels == label
        flagged = {
            name: float((scores[name][chosen] >= values.threshold).mean())
            for name, values in measured.items()
        }
        found.append(Group(label, int(chosen.sum()), flagged))
    return found


def comparison(results: list[SeedResult]) -> list[dict[str, Any]]:
    """One row a space and score: each figure's mean and spread over the seeds, and the worst seed."""
    rows: list[dict[str, Any]] = []
    keys = dict.fromkeys((result.space, name) for result in results for name in result.measured)
    for space, name in keys:
        held = [result.measured[name] for result in results if result.space == space]
        rows.append(
            {
                "space": space,
                "score": name,
                "seeds": len(held),
                **{
                    figure: summary([float(getattr(values, figure)) for values in held])
                    for figure in ("auroc", "average_precision", "recall", "false_positive_rate", "accuracy")
                },
            }
        )
    return rows
