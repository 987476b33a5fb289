"""Kafka to Kafka: images a second and CPU milliseconds an image, beside the limit and what one would write.

    make bench            (python -m benchmarks.pipeline --help)

On the same JPEGs in one folder, the starter's graph and one real Apache Kafka, in turn, `--runs` times:

- limit: decode and model alone on bytes in memory, the fastest of several ways (benchmarks/limit.py)
- mekiki, exactly once and at least once: `mekiki score`
- repeats: mekiki, exactly once, where three images in ten are files that it saw lately (model.repeats)
- naive, quix, arroyo: benchmarks/peers, Pillow's draft decode, fp32, no tags, in environments of their own
- before: another commit of this project (`--before`), beside it

The broker runs on the same cores, as Kafka's own script starts it; a round of mekiki that does not count
warms it up. Rates and CPU times are those from the first twentieth to the last verdict, by a reader of
committed records. Shared machines drift: ratios are taken within a round, and their medians are told.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.latency import latency_at
from benchmarks.place import RESULTS, ROOT, Bench, bench
from benchmarks.ways import WAY, Measured


def main() -> None:
    """Measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    parser.add_argument("--ways", nargs="*", default=[way for way in WAY if way != "before"], choices=WAY)
    parser.add_argument("--before", help="a commit of this project to measure beside")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-bench", help="those of the peers")
    parser.add_argument(
        "--half-load", type=float, default=20, help="seconds of the latency at half load; 0: no"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "pipeline.json")
    flags = parser.parse_args()
    ways = [*flags.ways, *(["before"] if flags.before and "before" not in flags.ways else [])]
    with bench(flags) as place:
        WAY["exactly_once"](place, "warm.")
        rounds = [measured_round(place, ways, number) for number in range(flags.runs)]
        result = summary(rounds, place, flags)
        flags.out.parent.mkdir(exist_ok=True)
        flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if flags.half_load:
            rate = result["ways"]["exactly_once"]["images_per_second"] / 2
            result["half_load"] = latency_at(place, rate, flags.half_load)
    print(table(result))
    flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured_round(place: Bench, ways: Sequence[str], number: int) -> dict[str, Measured]:
    """Each way once."""
    found = {}
    for way in ways:
        found[way] = WAY[way](place, f"b{number}.{way}.")
        print(
            f"  round {number + 1} {way:14}{found[way].rate:8.0f} images/s"
            f"{found[way].cpu.get('all', 0):8.2f} ms of CPU an image",
            flush=True,
        )
    return found


def summary(rounds: Sequence[dict[str, Measured]], place: Bench, flags: argparse.Namespace) -> dict[str, Any]:
    """Medians of rates, of ratios within a round, and of CPU times."""

    def medians(way: str) -> dict[str, Any]:
        found = [one[way] for one in rounds]
        limits = [one["limit"].rate for one in rounds if "limit" in one]
        ratios = [one.rate / most for one, most in zip(found, limits, strict=False)]
        return {
            "images_per_second": statistics.median(one.rate for one in found),
            "of_limit": statistics.median(ratios) if ratios else None,
            "cpu_milliseconds": {
                part: statistics.median(one.cpu[part] for one in found) for part in found[0].cpu
            },
            "memory_megabytes": max(one.memory for one in found),
            "rounds": [one.rate for one in found],
        }

    sizes = [path.stat().st_size for path in place.folder.iterdir()]
    return {
        "when": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": _cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "command": {"events": flags.events, "runs": flags.runs, "side": flags.side, "before": flags.before},
        "bytes_per_image": statistics.mean(sizes),
        "ways": {way: medians(way) for way in rounds[0]},
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def table(result: dict[str, Any]) -> str:
    """The result for a person."""
    lines = [f"{'':14}{'images/s':>10}{'of limit':>10}{'CPU ms':>9}{'decode':>8}{'broker':>8}{'MB':>7}"]
    for way, found in result["ways"].items():
        cpu = found["cpu_milliseconds"]
        ratio = f"{found['of_limit']:.2f}" if found["of_limit"] else ""
        lines.append(
            f"{way:14}{found['images_per_second']:10.0f}{ratio:>10}{cpu.get('all', 0):9.2f}"
            f"{cpu.get('decode', 0):8.2f}{cpu.get('broker', 0):8.2f}{found['memory_megabytes']:7.0f}"
        )
    if half := result.get("half_load"):
        lines.append(
            f"at {half['images_per_second']:.0f} images/s: p50 {half['p50']:.3f} s, p99 {half['p99']:.3f} s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
