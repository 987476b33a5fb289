"""HTML reports: one file with its pictures inside, from a Jinja2 template."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from export.metrics import Calibration, Curves, Values
from export.run import write_text

TARGET_COLOUR, OTHER_COLOUR = "#b3402a", "#2f6690"
STYLE: Any = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}


def write_report(path: Path, template: str, values: Mapping[str, Any]) -> None:
    """Render a template of export/templates into one HTML file, replaced by an atomic rename."""
    environment = Environment(loader=PackageLoader("export"), autoescape=True, undefined=StrictUndefined)
    environment.filters["percent"] = lambda value, digits=2: f"{100 * value:.{digits}f} %"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, environment.get_template(template).render(**values))


def inline_figure(figure: Figure, description: str) -> Markup:
    """A figure as an <img> with its bytes inside."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return _image_tag(buffer.getvalue(), "png", description)


def inline_image(pixels: NDArray[np.uint8], description: str, side: int = 96) -> Markup:
    """Pixels uint8 [h, w, 3] as an <img> of at most `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return _image_tag(buffer.getvalue(), "jpeg", description)


def curve_figure(curves: Mapping[str, Curves]) -> Figure:
    """ROC and precision-recall curves side by side, a line a name; the ROC's axis shows 0.01 % to all."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.2), layout="constrained")
        roc, precision_recall = figure.subplots(1, 2)
        for name, points in curves.items():
            roc.plot(
                np.maximum(points.false_positive_rate, 1e-4), points.true_positive_rate, label=name, lw=1.4
            )
            precision_recall.plot(points.recall, points.precision, label=name, lw=1.4)
        roc.set(xscale="log", xlabel="false positives", ylabel="recall", ylim=(-0.02, 1.02), title="ROC")
        precision_recall.set(
            xlabel="recall", ylabel="precision", ylim=(-0.02, 1.02), title="Precision and recall"
        )
        figure.legend(*roc.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def histogram_figure(
    target: Mapping[str, Values], other: Mapping[str, Values], thresholds: Mapping[str, float]
) -> Figure:
    """One histogram a score: the target class and the others, with the threshold."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.8 * len(target), 2.4), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(target), squeeze=False)[0], target, strict=True):
            together = np.concatenate([target[name], other[name]])
            # A few far outliers would squeeze everything else into one bar.
            low, high = np.quantile(together, [0.01, 0.99])
            bins = np.linspace(low, max(high, low + 1e-9), 40)
            for values, colour, label in (
                (target, TARGET_COLOUR, "target"),
                (other, OTHER_COLOUR, "product"),
            ):
                weights = np.full(len(values[name]), 1 / len(values[name]))
                clipped = np.clip(values[name], low, high)
                axes.hist(clipped, bins=bins, weights=weights, color=colour, alpha=0.6, label=label)
            axes.axvline(thresholds[name], color="black", lw=1, ls="--")
            axes.set(title=name, yticks=[])
        figure.axes[0].legend(frameon=False)
    return figure


def calibration_figure(measured: Calibration) -> Figure:
    """Share of target images over the mean score of a bin."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999", lw=1, ls=":")
        axes.plot(measured.predicted, measured.observed, marker="o", ms=4, color=TARGET_COLOUR)
        axes.set(
            xlabel="score in [0, 1]", ylabel="share of target images", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
        )
    return figure


def loss_figure(rows: list[dict[str, Any]]) -> Figure:
    """Training losses by epoch: a panel a term, a line a phase."""
    terms = sorted({name for row in rows for name in row} - {"phase", "epoch", "seconds"})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.8 * len(terms), 2.4), layout="constrained")
        for axes, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
            for phase in dict.fromkeys(row["phase"] for row in rows):
                held = [row for row in rows if row["phase"] == phase and term in row]
                axes.plot([row["epoch"] for row in held], [row[term] for row in held], lw=1.2, label=phase)
            axes.set(title=term, xlabel="epoch", yscale="log")
        figure.axes[0].legend(frameon=False, fontsize=7)
    return figure


def _image_tag(data: bytes, kind: str, description: str) -> Markup:
    encoded = base64.b64encode(data).decode()
    return Markup('<img src="data:image/{};base64,{}" alt="{}">').format(kind, encoded, description)
