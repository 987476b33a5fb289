"""Draws benchmarks/results/growth.json: images a second and CPU an image against what grows.

python -m benchmarks.growth_plot
"""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).with_name("results")
TITLES = {
    "side": "longer side, pixels",
    "batch": "most images in a batch",
    "partitions": "partitions",
    "workers": "workers on these cores",
    "repeats": "share of repeated files",
}
RATE, CPU = "#2a6f97", "#e0a030"


def main() -> None:
    """Write growth.png beside the figures."""
    grows = json.loads((RESULTS / "growth.json").read_text(encoding="utf-8"))["grows"]
    figure, axes = plt.subplots(2, len(grows), figsize=(2.4 * len(grows), 4.2), squeeze=False)
    for column, (name, points) in enumerate(grows.items()):
        values = [f"{point['value']:g}" for point in points]
        for row, (measure, colour) in enumerate((("images_per_second", RATE), ("cpu_milliseconds", CPU))):
            axis = axes[row][column]
            axis.plot(values, [point[measure] for point in points], marker="o", color=colour)
            axis.set_ylim(bottom=0)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0][column].set_title(TITLES[name], fontsize=10)
    axes[0][0].set_ylabel("images a second")
    axes[1][0].set_ylabel("CPU ms an image")
    figure.tight_layout()
    figure.savefig(RESULTS / "growth.png", dpi=110)


if __name__ == "__main__":
    main()
