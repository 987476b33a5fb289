"""Draw the dashboard's panels from a Prometheus into one picture, where there is no Grafana.

Run from the repository root, with matplotlib:
`python helm/tools/draw_dashboard.py http://127.0.0.1:9090 dashboard.png --minutes 10`.
"""

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LinearLocator
from PIL import Image

from helm.tools.dashboard import DASHBOARD

Series = tuple[str, list[float], list[float]]

_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def readable(value: float, unit: str) -> str:
    """`value` as Grafana would write it."""
    if not math.isfinite(value):
        return "no data"
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    suffix = {"ops": "/s", "Bps": "B/s", "bytes": "B"}.get(unit, "")
    for scale, letter in _SCALES:
        if abs(value) >= scale * 10 or scale == 1.0:
            number = f"{value / scale:.0f}" if value >= 1000 * scale else f"{value / scale:.3g}"
            return f"{number} {letter}{suffix}".rstrip()
    return ""


def query(url: str, promql: str, minutes: float, step: int) -> list[dict[str, Any]]:
    """Prometheus' answer for the last `minutes`."""
    end = time.time()
    parameters = {"query": promql, "start": end - minutes * 60, "end": end, "step": step}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}") as response:  # noqa: S310
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return found


def panel_series(url: str, panel: dict[str, Any], minutes: float, step: int) -> list[Series]:
    """Legend, times and values of all series of a panel."""
    series: list[Series] = []
    for target in panel["targets"]:
        promql = target["expr"].replace("$__rate_interval", f"{max(4 * step, 15)}s")
        promql = re.sub(r"\$(release|score)", lambda m: ".*" if m[1] == "release" else "text", promql)
        for each in query(url, promql, minutes, step):
            metric: dict[str, str] = each["metric"]
            legend = target["legendFormat"]
            for label in re.findall(r"\{\{(\w+)\}\}", legend):
                legend = legend.replace(f"{{{{{label}}}}}", metric.get(label, ""))
            points = [(at, float(value)) for at, value in each["values"]]
            series.append((legend, [p[0] for p in points], [p[1] for p in points]))
    return series


def clock(times: list[float]) -> Any:
    """Unix times as matplotlib's dates."""
    return dates.date2num(np.array(times).astype("datetime64[s]"))


def draw_stat(axes: Axes, series: list[Series], unit: str) -> None:
    """The latest value of each series, large."""
    axes.set_axis_off()
    for number, (legend, _, values) in enumerate(series):
        place = (number + 0.5) / len(series)
        axes.text(place, 0.5, readable(values[-1], unit), ha="center", va="center", fontsize=15)
        if len(series) > 1:
            axes.text(place, 0.12, legend, ha="center", va="center", fontsize=7, color="0.4")


def draw_lines(axes: Axes, series: list[Series], unit: str, stacked: bool) -> None:
    """Series over time."""
    lengths = {len(times) for _, times, _ in series}
    if stacked and len(lengths) == 1:
        times = clock(series[0][1])
        axes.stackplot(times, *[values for _, _, values in series], labels=[s[0] for s in series], alpha=0.7)
    else:
        for legend, at, values in series:
            axes.plot(clock(at), values, label=legend, linewidth=1.2)
    if len(series) <= 8:
        axes.legend(fontsize=5.5, frameon=False, loc="upper left", ncols=2 if len(series) > 4 else 1)
    # Room for the legend.
    axes.set_ylim(0, axes.get_ylim()[1] * (1.3 if len(series) <= 8 else 1.05))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value, unit)))


def draw_heatmap(axes: Axes, series: list[Series]) -> None:
    """Buckets over time; Prometheus' buckets are cumulative."""
    finite = sorted((s for s in series if s[0] != "+Inf"), key=lambda s: float(s[0]))
    counts = np.nan_to_num(np.array([values for _, _, values in finite]))
    counts = np.diff(counts, axis=0, prepend=0)
    times = clock(finite[0][1])
    axes.pcolormesh(times, [float(s[0]) - 0.025 for s in finite], counts, cmap="Blues", shading="nearest")


def draw_panel(axes: Axes, panel: dict[str, Any], series: list[Series]) -> None:
    """One panel with its title."""
    axes.set_title(panel["title"].replace("$score", "text"), fontsize=8, loc="left")
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes)
    elif panel["type"] == "stat":
        draw_stat(axes, series, defaults["unit"])
    elif panel["type"] == "heatmap":
        draw_heatmap(axes, series)
    else:
        stacked = defaults["custom"]["stacking"]["mode"] == "normal"
        draw_lines(axes, series, defaults["unit"], stacked)
    if panel["type"] != "stat":
        axes.xaxis.set_major_locator(LinearLocator(4))
        axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))


def draw(url: str, target: Path, minutes: float, step: int) -> None:
    """Write the picture; the panels lie as in Grafana."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(13, height * 0.26))
    for panel in panels:
        at = panel["gridPos"]
        top = 1 - at["y"] / height
        if panel["type"] == "row":
            figure.text(0.01, top - 0.6 / height, panel["title"], fontsize=10, weight="bold")
            continue
        box = (
            at["x"] / 24 + 0.042,
            top - (at["h"] - 0.9) / height,
            at["w"] / 24 - 0.055,
            (at["h"] - 2.2) / height,
        )
        draw_panel(figure.add_axes(box), panel, panel_series(url, panel, minutes, step))
    figure.savefig(target, dpi=100)
    # Few colours: a fifth of the size.
    Image.open(target).convert("RGB").quantize(96).save(target, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the Prometheus")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--step", type=int, default=5, help="seconds")
    given = parser.parse_args()
    draw(given.url, given.picture, given.minutes, given.step)
