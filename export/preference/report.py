"""The report of a preference: figures, NDCG over the training, what the place in the list does."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from export.parts import Part
from export.preference.bias import BiasReport
from export.preference.feedback import Feedback
from export.preference.ranking import CURVE_AT
from export.report import OTHER_COLOUR, STYLE, inline_figure, inline_image, write_report
from export.run import RunFolder
from schemas.bundle import ScoreHead

_PICTURES = 16


def write_preference_report(
    run: RunFolder, part: Part, feedback: Feedback, images: NDArray[np.uint8], scores: NDArray[np.float32],
    skipped: Mapping[str, int],
) -> None:  # fmt: skip
    """Write `report.html` of held `images` [n, side, side, 3] with their `scores` [n]."""
    head = part.head
    assert isinstance(head, ScoreHead)
    order = np.argsort(-scores)
    pictures = [inline_image(images[row], f"score {scores[row]:.2f}") for row in order]
    curve = [row for row in run.metrics() if str(row["phase"]).endswith("held")]
    write_report(
        run.path / "report.html",
        "preference.html",
        {
            "name": head.name,
            "description": head.description,
            "command": part.command,
            "figures": part.figures,
            "skipped": {**skipped, **feedback.skipped},
            "curve": inline_figure(ndcg_figure(curve), "NDCG by epoch") if curve else "",
            "bias": feedback.bias,
            "places": ""
            if feedback.bias is None
            else inline_figure(place_figure(feedback.bias), "by position"),
            "best": pictures[:_PICTURES],
            "worst": pictures[-_PICTURES:],
        },
    )


def ndcg_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """NDCG at each k, and pairs ranked right, by epoch."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3), layout="constrained")
        axes = figure.subplots()
        for name in (*(f"ndcg@{k}" for k in CURVE_AT), "pairs right"):
            held = [row[name] for row in rows]
            axes.plot(
                range(1, len(held) + 1), held, lw=1.4, ls="--" if name == "pairs right" else "-", label=name
            )
        axes.set(xlabel="epoch", ylabel="held images")
        figure.legend(loc="outside right center", frameon=False)
    return figure


def place_figure(bias: BiasReport) -> Figure:
    """Click rate in parts of the highest, and every estimate of the propensity, by position."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3), layout="constrained")
        axes = figure.subplots()
        places = [row["position"] for row in bias.by_position]
        rates = np.array([row["click rate"] for row in bias.by_position])
        axes.bar(places, rates / max(rates.max(), 1e-9), color=OTHER_COLOUR, alpha=0.3, label="click rate")
        for name in bias.by_position[0].keys() - {"position", "shown", "click rate"}:
            axes.plot(places, [row[name] for row in bias.by_position], lw=1.4, marker="o", ms=3, label=name)
        axes.set(xlabel="position", ylabel="in parts of the highest")
        figure.legend(loc="outside right center", frameon=False)
    return figure
