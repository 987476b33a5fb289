"""Draws benchmarks/results/pipeline.json: images a second, and CPU milliseconds an image.

python -m benchmarks.pipeline_plot
"""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).with_name("results")
NAMES = {
    "limit": "limit: decode and model, no Kafka",
    "repeats": "mekiki, 30 % repeated files",
    "at_least_once": "mekiki, at least once",
    "exactly_once": "mekiki, exactly once",
    "before": "mekiki before",
    "arroyo": "Arroyo, at least once",
    "quix": "Quix Streams, exactly once",
    "naive": "plain loop",
}
OURS, THEIRS, LIMIT = "#2a6f97", "#b0b7bf", "#e0a030"


def main() -> None:
    """Write pipeline.png beside the figures."""
    result = json.loads((RESULTS / "pipeline.json").read_text(encoding="utf-8"))
    ways = {way: result["ways"][way] for way in reversed(NAMES) if way in result["ways"]}
    names = [NAMES[way] for way in ways]
    colours = [LIMIT if w == "limit" else OURS if NAMES[w].startswith("mekiki") else THEIRS for w in ways]
    rates = [found["images_per_second"] for found in ways.values()]
    cpu = [found["cpu_milliseconds"]["all"] for found in ways.values()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
    for axis, values, title in (
        (left, rates, "images a second"), (right, cpu, "CPU milliseconds an image")
    ):  # fmt: skip
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, fmt="%.0f" if axis is left else "%.1f", padding=3)
        axis.set_title(title, fontsize=11)
        axis.margins(x=0.14)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.xaxis.set_visible(False)
        axis.tick_params(left=False)
    figure.tight_layout()
    figure.savefig(RESULTS / "pipeline.png", dpi=110)


if __name__ == "__main__":
    main()
