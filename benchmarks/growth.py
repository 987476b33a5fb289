"""How the rate and the CPU an image change with what grows: images, batches, partitions, workers, repeats.

    make bench-growth      (python -m benchmarks.growth --help)

`mekiki score`, exactly once, on a real Apache Kafka; one thing changes at a time, the rest stays as `BASE`.
All points are measured `--runs` times in turn, and their medians told; benchmarks/growth_plot.py draws them.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.place import RESULTS, bench
from benchmarks.ways import Measured, mekiki
from worker.cores import cores


@dataclass(frozen=True)
class Point:
    """What one measurement runs with."""

    side: int = 1200
    batch: int = 32
    partitions: int = 4
    workers: int = 1
    repeats: float = 0.0


BASE = Point()
GROWS: dict[str, tuple[float, ...]] = {
    "side": (300, 600, 1200, 2400),
    "batch": (1, 4, 32, 128),
    "partitions": (1, 4, 16, 64),
    "workers": (1, 2, 3),
    "repeats": (0.0, 0.3, 0.6, 0.9),
}


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--grows", nargs="*", default=list(GROWS), choices=GROWS)
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    flags = parser.parse_args()
    flags.environments, flags.before = Path(), None
    points = [(name, value, _point(name, value)) for name in flags.grows for value in GROWS[name]]
    found: dict[Point, list[Measured]] = {}
    for side in sorted({point.side for _, _, point in points}):
        flags.side = side
        here = list(dict.fromkeys(point for _, _, point in points if point.side == side))
        with bench(flags) as place:
            for run in range(flags.runs):
                for number, point in enumerate(here):
                    measured = mekiki(
                        place,
                        f"g{side}.{run}.{number}.",
                        share=point.repeats,
                        settings=settings_of(point),
                        workers=point.workers,
                    )
                    found.setdefault(point, []).append(measured)
                    print(f"  {point}: {measured.rate:.0f} images/s", flush=True)
    result = {
        "when": datetime.now(UTC).date().isoformat(),
        "cores": cores(),
        "command": {name: getattr(flags, name) for name in ("events", "runs")},
        "grows": {
            name: [{"value": value, **_medians(found[_point(name, value)])} for value in GROWS[name]]
            for name in flags.grows
        },
    }
    flags.out.parent.mkdir(exist_ok=True, parents=True)
    flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


def _point(name: str, value: float) -> Point:
    """`BASE` with one thing changed."""
    kind: Callable[[float], float] = type(getattr(BASE, name))
    changed: dict[str, Any] = {name: kind(value)}
    return replace(BASE, **changed)


def settings_of(point: Point) -> dict[str, str]:
    """Of the worker, as variables of the environment."""
    return {
        "MEKIKI_MODEL__BATCH_SIZE": str(point.batch),
        "MEKIKI_TOPICS__PARTITIONS": str(point.partitions),
    }


def _medians(measured: list[Measured]) -> dict[str, Any]:
    return {
        "images_per_second": statistics.median(one.rate for one in measured),
        "cpu_milliseconds": statistics.median(one.cpu["all"] for one in measured),
        "memory_megabytes": max(one.memory for one in measured),
    }


def table(result: dict[str, Any]) -> str:
    """The result for a person."""
    lines = [f"{'':12}{'':>8}{'images/s':>10}{'CPU ms':>9}{'MB':>7}"]
    for name, points in result["grows"].items():
        lines += [
            f"{name:12}{point['value']:8g}{point['images_per_second']:10.0f}"
            f"{point['cpu_milliseconds']:9.2f}{point['memory_megabytes']:7.0f}"
            for point in points
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
