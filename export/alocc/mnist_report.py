"""The report of the MNIST benchmark: our figures beside those of the paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from export.metrics import summary
from export.report import STYLE, inline_figure, write_report
from export.run import RunFolder

# F1 at 10, 20, 30, 40 and 50 % outliers. The paper draws these as curves; the numbers are second-hand, those
# of Pidhorskyi et al., "Generative Probabilistic Novelty Detection", NeurIPS 2018, table 1, from memory.
PAPER_F1: Mapping[str, tuple[float, ...]] = {
    "D(X)": (0.93, 0.90, 0.87, 0.84, 0.82),
    "D(R(X))": (0.97, 0.92, 0.92, 0.91, 0.88),
}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a score and share: figures over the digits, their spread over seeds and over digits.

    A seed's value is its mean over the digits; `mean` and `spread` are over the seeds, `digits` is
    the standard deviation over the digits of their means over the seeds.
    """
    found = []
    for score in dict.fromkeys(row["score"] for row in rows):
        for share in SHARES:
            held = [row for row in rows if row["score"] == score and row["share"] == share]
            figures = {name: _over_seeds_and_digits(held, name) for name in ("auroc", "f1", "f1_one_class")}
            found.append({"score": score, "share": share, "paper_f1": _paper(score, share), **figures})
    return found


def write_mnist_report(run: RunFolder) -> Path:
    """Write `report.html` of a run of the benchmark; returns its path."""
    rows = [row for row in run.metrics() if row["phase"] == "evaluation"]
    table = summarise(rows)
    path = run.path / "report.html"
    values = {
        "config": run.config(),
        "table": table,
        "digits": _by_digit(rows),
        "scores": list(dict.fromkeys(row["score"] for row in rows)),
        "figure": inline_figure(_f1_figure(table), "F1 by share of outliers"),
        "all_accepted": {share: 2 * (1 - share) / (2 - share) for share in SHARES},
    }
    write_report(path, "mnist.html", values)
    return path


def _paper(score: str, share: float) -> float | None:
    return PAPER_F1[score][SHARES.index(share)] if score in PAPER_F1 else None


def _over_seeds_and_digits(rows: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    def means(key: str) -> list[float]:
        groups: dict[int, list[float]] = {}
        for row in rows:
            groups.setdefault(row[key], []).append(row[figure])
        return [sum(values) / len(values) for values in groups.values()]

    return {**summary(means("seed")), "digits": summary(means("digit"))["spread"]}


def _by_digit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """AUROC at 50 % outliers by digit and score, mean over the seeds."""
    found = []
    for digit in sorted({row["digit"] for row in rows}):
        held = [row for row in rows if row["digit"] == digit and row["share"] == SHARES[-1]]
        scores = dict.fromkeys(row["score"] for row in held)
        aurocs = {score: summary([row["auroc"] for row in held if row["score"] == score]) for score in scores}
        found.append({"digit": digit, "auroc": aurocs})
    return found


def _f1_figure(table: list[dict[str, Any]]) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots()
        percent = [100 * share for share in SHARES]
        for score in dict.fromkeys(row["score"] for row in table):
            held = [row for row in table if row["score"] == score]
            means, spreads = [row["f1"]["mean"] for row in held], [row["f1"]["spread"] for row in held]
            axes.errorbar(
                percent, means, yerr=spreads, marker="o", ms=4, lw=1.4, capsize=3, label=f"ours, {score}"
            )
        for score, values in PAPER_F1.items():
            axes.plot(percent, values, ls="--", lw=1.2, label=f"paper, {score}")
        accepted = [2 * (1 - share) / (2 - share) for share in SHARES]
        axes.plot(percent, accepted, ls=":", color="#999", label="accepting everything")
        axes.set(xlabel="outliers, %", ylabel="F1 of the inliers", ylim=(0.6, 1.0), xticks=percent)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure
