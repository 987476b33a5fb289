"""What a worker does for minutes at nine tenths of what it can, and then at twice that.

    make bench-load        (python -m benchmarks.load --help)

`mekiki score`, exactly once, on JPEGs in a folder and a real Apache Kafka. Its rate at full load is measured
first, on a topic that is full already; then uploads arrive at 0.9 of it for `--minutes`, and at twice of it
for `--over` minutes. Every two seconds: memory of the worker and its children, the group's lag by Kafka,
events inside, partitions. No file is known again (`model.repeats = 0`).
"""

import argparse
import json
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.offer import Offer, offering
from benchmarks.place import RESULTS, Bench, bench, serving
from benchmarks.ways import mekiki
from tests.kafka.server import free_ports

SAMPLE_SECONDS = 2.0
SETTLING_SECONDS = 120.0


@dataclass(frozen=True)
class Sample:
    """The worker at one moment: seconds since the load began, megabytes (USS), counts."""

    at: float
    memory: float
    lag: float
    inside: float
    partitions: float
    outcomes: float


def main() -> None:
    """Measure, print a summary and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--over", type=float, default=3, help="minutes at twice the rate")
    parser.add_argument("--events", type=int, default=3000, help="files, and events of the full load")
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    parser.add_argument("--out", type=Path, default=RESULTS / "load.json")
    flags = parser.parse_args()
    flags.environments, flags.before = Path(), None
    with bench(flags) as place:
        full = mekiki(place, "full.").rate
        print(f"full load: {full:.0f} images/s", flush=True)
        steady = under(place, "steady.", 0.9 * full, 60 * flags.minutes)
        over = under(place, "over.", 2 * full, 60 * flags.over)
    result = {
        "when": datetime.now(UTC).date().isoformat(),
        "command": {name: getattr(flags, name) for name in ("minutes", "over", "events", "side")},
        "full_load": full,
        "steady": summary(steady),
        "over": summary(over),
        "samples": {"steady": list(map(asdict, steady)), "over": list(map(asdict, over))},
    }
    flags.out.parent.mkdir(exist_ok=True, parents=True)
    flags.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(json.dumps({name: result[name] for name in ("full_load", "steady", "over")}, indent=1))


def under(place: Bench, prefix: str, rate: float, seconds: float) -> list[Sample]:
    """Samples of a worker on which `rate` uploads a second arrive for so many seconds."""
    (port,) = free_ports(1)
    offer = Offer(place.bootstrap, f"{prefix}uploaded", str(place.folder), max(1, int(rate * seconds)), rate)
    with serving(place, prefix, port) as process, offering(offer) as publisher:
        began, found = time.monotonic(), []
        while publisher.poll() is None and time.monotonic() - began < seconds + 60:
            time.sleep(SAMPLE_SECONDS)
            if process.poll() is not None:
                raise RuntimeError(f"the worker ended with {process.returncode}")
            found.append(sample(process, port, time.monotonic() - began))
    return found


def sample(process: "subprocess.Popen[bytes]", port: int, at: float) -> Sample:
    """What the worker and its children hold, and what it says of itself."""
    one = psutil.Process(process.pid)
    memory = sum(each.memory_full_info().uss for each in (one, *one.children(recursive=True))) / 1e6
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()

    def total(name: str) -> float:
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    return Sample(
        round(at, 1),
        round(memory, 1),
        total("mekiki_poll_lag_records{"),
        total("mekiki_commit_in_flight_events"),
        total("mekiki_poll_assigned_partitions"),
        total("mekiki_commit_outcomes_total{"),
    )


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """What changed from the third minute to the end: memory, lag, partitions, the time of an event inside."""
    settled = [one for one in samples if one.at >= min(SETTLING_SECONDS, samples[-1].at / 2)]
    third = max(1, len(settled) // 3)
    early, late = settled[:third], settled[-third:]
    seconds = settled[-1].at - settled[0].at
    rate = (settled[-1].outcomes - settled[0].outcomes) / max(seconds, 1e-9)

    def change(name: str) -> list[float]:
        return [round(statistics.median(getattr(one, name) for one in part), 1) for part in (early, late)]

    return {
        "images_per_second": round(rate, 1),
        "megabytes": change("memory"),
        "lag": change("lag"),
        "seconds_inside": [round(inside / max(rate, 1e-9), 2) for inside in change("inside")],
        "partitions": sorted({one.partitions for one in settled}),
    }


if __name__ == "__main__":
    main()
