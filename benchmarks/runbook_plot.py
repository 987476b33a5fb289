"""Draws benchmarks/results/runbook.json: recall, memory and CPU a search at each checkpoint of the runbook.

python -m benchmarks.runbook_plot
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RESULTS = Path(__file__).with_name("results")
COLOURS = {"mekiki": "#2a6f97", "hnswlib": "#e0a030"}
LIVING, WANTED = "#b0b7bf", 0.97


def main() -> None:
    """Write runbook.png beside the figures."""
    result = json.loads((RESULTS / "runbook.json").read_text(encoding="utf-8"))
    figure, (recall, memory, search) = plt.subplots(3, 1, figsize=(10, 8), sharex=True)
    for name, index in result["indexes"].items():
        points = index["checkpoints"]
        label = f"{name}, ef = {index['ef']}" if "ef" in index else name
        recall.plot([one["recall"] for one in points], color=COLOURS[name], label=label)
        memory.plot([one["memory"] for one in points], color=COLOURS[name], label=name)
        search.plot([cpu_a_search(one) for one in points], color=COLOURS[name], label=name)
    recall.axhline(WANTED, color="black", linewidth=0.8, linestyle=":")
    of_vectors = [4e-6 * one["living"] * result["command"]["dim"] for one in points]
    memory.fill_between(
        range(len(of_vectors)), of_vectors, color=LIVING, label="float32 of what lives", alpha=0.5
    )
    titles = ("recall@10", "most memory since the last checkpoint, MB", "CPU ms a search")
    for axis, title in zip((recall, memory, search), titles, strict=True):
        axis.set_title(title, fontsize=11, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        mark_rounds(axis, points)
    for axis in (memory, search):
        axis.set_ylim(bottom=0)
    recall.legend(frameon=False, loc="lower left")
    memory.legend(frameon=False, loc="upper left")
    search.set_xlabel("checkpoint; a line begins a round")
    figure.tight_layout()
    figure.savefig(RESULTS / "runbook.png", dpi=110)


def cpu_a_search(checkpoint: dict[str, Any]) -> float:
    """In milliseconds."""
    work = checkpoint["work"]["search"]
    return float(1000 * work["cpu"] / work["count"])


def mark_rounds(axis: Axes, points: list[dict[str, Any]]) -> None:
    """A line where each round begins."""
    for place in range(1, len(points)):
        if points[place]["round"] != points[place - 1]["round"]:
            axis.axvline(place - 0.5, color=LIVING, linewidth=0.8)


if __name__ == "__main__":
    main()
