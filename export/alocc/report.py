"""The report of a one-class training: figures beside pictures, every space and score side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray

from export.alocc.advice import advice, served_space
from export.alocc.evaluation import Group, SeedResult, comparison, groups
from export.alocc.model import REINFORCED, RESTORED, AloccModel, Images
from export.alocc.settings import AloccSettings, Space
from export.alocc.training import load_models
from export.data import Dataset
from export.metrics import ScoreScale, calibration, curves
from export.pixels import DecodedSet
from export.report import (
    calibration_figure,
    curve_figure,
    histogram_figure,
    inline_figure,
    inline_image,
    loss_figure,
    write_report,
)
from export.run import RunFolder

_PICTURES = 8
_WORST = 12


@dataclass(frozen=True)
class Mistake:
    """An image on the wrong side of the threshold, or nearest to it."""

    picture: Markup
    name: str
    label: str
    score: float
    wrong: bool


@dataclass(frozen=True)
class SpacePart:
    """The part of the report about one space; pictures and curves are of the first seed."""

    space: Space
    seed: int
    curves: Markup
    histograms: Markup
    calibration: Markup
    calibration_error: float
    mistake_score: str
    missed: list[Mistake]
    flagged: list[Mistake]
    restored: list[list[Markup]]
    groups: list[Group]
    score_names: list[str]


def write_alocc_report(
    path: Path,
    settings: AloccSettings,
    decoded: Mapping[Space, Mapping[str, DecodedSet]],
    results: list[SeedResult],
    run: RunFolder,
    device: torch.device,
) -> None:
    """Write the report of a finished run."""
    first = [result for result in results if result.seed == settings.seeds[0]]
    training = [row for row in run.metrics() if row["phase"] != "evaluation"]
    values: dict[str, Any] = {
        "config": run.config(),
        "settings": settings,
        "sets": {name: _describe(chosen.dataset) for name, chosen in decoded[results[0].space].items()},
        "comparison": comparison(results),
        "served": {"space": served_space(settings), "score": RESTORED},
        "advice": advice(settings, results, run.path),
        "parts": [_part(settings, decoded[result.space], result, run, device) for result in first],
        "losses": inline_figure(loss_figure(training), "training losses by epoch"),
    }
    write_report(path, "alocc.html", values)


def best_score(result: SeedResult) -> str:
    """The score that mistakes are shown for: restoration of features, D(R(X)) of pixels, as each is meant."""
    return REINFORCED if result.space == "pixel" else RESTORED


def _part(
    settings: AloccSettings,
    decoded: Mapping[str, DecodedSet],
    result: SeedResult,
    run: RunFolder,
    device: torch.device,
) -> SpacePart:
    thresholds = {name: measured.threshold for name, measured in result.measured.items()}
    lines = {name: curves(result.positive[name], result.product[name]) for name in thresholds}
    chosen = best_score(result)
    scale = ScoreScale.fit(thresholds[chosen], result.validation[chosen])
    reliable = calibration(scale(result.positive[chosen]), scale(result.product[chosen]))
    model = load_models(result.space, settings, run, device)[result.seed]
    flagged = sorted(
        groups(decoded["product"].dataset, result.product, result.measured), key=_most_flagged(chosen)
    )
    return SpacePart(
        space=result.space,
        seed=result.seed,
        curves=inline_figure(curve_figure(lines), "ROC and precision-recall curves"),
        histograms=inline_figure(
            histogram_figure(result.positive, result.product, thresholds), "score histograms"
        ),
        calibration=inline_figure(calibration_figure(reliable), "calibration"),
        calibration_error=reliable.expected_error,
        mistake_score=chosen,
        missed=_mistakes(decoded["positive"], result.positive[chosen], thresholds[chosen], sign=1),
        flagged=_mistakes(decoded["product"], result.product[chosen], thresholds[chosen], sign=-1),
        restored=[
            *_restored(model, decoded["positive"].images[:_PICTURES]),
            *_restored(model, decoded["product"].images[:_PICTURES]),
        ],
        groups=flagged[:30],
        score_names=list(thresholds),
    )


def _most_flagged(score: str) -> Any:
    return lambda group: (-group.flagged[score], -group.images)


def _mistakes(decoded: DecodedSet, scores: NDArray[np.float64], threshold: float, sign: int) -> list[Mistake]:
    """The worst first: lowest scores of targets (sign 1), highest of products (sign -1)."""
    found = []
    for row in np.argsort(sign * scores, kind="stable")[:_WORST]:
        example = decoded.dataset.examples[row]
        wrong = bool(scores[row] < threshold) if sign > 0 else bool(scores[row] >= threshold)
        picture = inline_image(decoded.images[row], example.name)
        found.append(Mistake(picture, example.name, example.label, float(scores[row]), wrong))
    return found


@torch.no_grad()
def _restored(model: AloccModel, images: Images) -> list[list[Markup]]:
    """Rows of pictures: X over R(X) for pixels, X over where its features are not restored otherwise."""
    maps = model.maps(torch.from_numpy(np.ascontiguousarray(images)).to(model.mean.device))
    restored = model.reinforcer(maps)
    if model.works_on_pixels:
        below = ((restored.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy()
        below = np.broadcast_to(below, (*below.shape[:3], 3))
    else:
        error = (maps - restored).square().mean(dim=1).sqrt().cpu().numpy()
        # 0 to 2 spreads of the class, white to black, the same scale for every image.
        below = np.repeat((255 * (1 - np.clip(error / 2, 0, 1)))[..., None], 3, axis=3)
        times = images.shape[1] // below.shape[1]
        below = below.repeat(times, axis=1).repeat(times, axis=2)
    return [
        [inline_image(image, "X") for image in images],
        [inline_image(image.astype(np.uint8), "R(X)") for image in below],
    ]


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {"images": len(dataset), "labels": dataset.labels().most_common(8), "skips": dataset.skips()}
