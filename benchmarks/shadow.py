"""What a shadow at 100 % costs the stream: images a second with and without, and where the CPU went.

    python -m benchmarks.shadow [--events 1500] [--rounds 3] [--nice 10]

`mekiki score` on a real Apache Kafka judges JPEGs of 1,200 px as fast as it can, without a shadow and with
the starter bundle as its own shadow, in turn. The share of CPU is the shadow's of all that the worker's
processes used.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.workload import create, publish, rate_of, settings_of, write_photos
from tests.kafka.server import SERVES, KafkaServer, free_ports
from worker.settings import STARTER_BUNDLE, Settings


@dataclass(frozen=True)
class Measured:
    """Images a second, CPU milliseconds an image of worker and shadow, and what became of images there."""

    rate: float
    worker_ms: float
    shadow_ms: float
    tried: int

    @property
    def share(self) -> float:
        """Of the CPU, the shadow's."""
        return self.shadow_ms / (self.shadow_ms + self.worker_ms)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nice", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        folder, home = Path(scratch, "images"), Path(scratch, "kafka")
        folder.mkdir()
        home.mkdir()
        paths = write_photos(folder, 1200)
        server = KafkaServer(home, SERVES)
        server.start()
        falls = []
        try:
            for number in range(options.rounds):
                alone = measured(server.bootstrap, f"a{number}.", paths, options.events, None)
                both = measured(server.bootstrap, f"b{number}.", paths, options.events, options.nice)
                fall = 1 - both.rate / alone.rate
                falls.append(fall)
                each = f"{alone.worker_ms:.2f} ms of CPU each"
                print(
                    f"round {number + 1}: alone {alone.rate:.0f} images/s, {each};\n"
                    f"  with a shadow {both.rate:.0f} images/s ({-fall:+.1%}), {both.worker_ms:.2f} ms and "
                    f"its own {both.shadow_ms:.2f} ms,\n  {both.share:.1%} of all; it tried {both.tried}",
                    flush=True,
                )
        finally:
            server.stop()
        print(f"the rate falls by {statistics.median(falls):.1%} (median)")


def measured(bootstrap: str, prefix: str, paths: list[Path], events: int, nice: int | None) -> Measured:
    """A worker that is ready, its shadow too where `nice` is given, and then a topic full of events."""
    (port,) = free_ports(1)
    environment = settings_of(bootstrap, prefix, "exactly_once", paths[0].parent)
    model: dict[str, object] = {"repeats": 0}
    if nice is not None:
        model["shadow"] = {"bundle": str(STARTER_BUNDLE), "nice": nice}
    environment |= {"MEKIKI_MODEL": json.dumps(model), "MEKIKI_HTTP__PORT": str(port)}
    create(environment)
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "score"], env={**os.environ, **environment}
    )
    try:
        waited_for = "mekiki_shadow_up_ratio 1.0" if nice is not None else "mekiki_poll_assigned_partitions"
        while waited_for not in metrics(port) or 'partitions{role="score"} 4.0' not in metrics(port):
            time.sleep(0.2)
        before = cpu_seconds(worker.pid)
        publish(bootstrap, prefix, paths[0].parent, events)
        rate = rate_of(bootstrap, f"{prefix}{Settings().topics.moderated}", events)
        after = cpu_seconds(worker.pid)
        told = [
            line for line in metrics(port).splitlines() if "shadow_images_total" in line and "publ" in line
        ]
        tried = int(sum(float(line.rpartition(" ")[2]) for line in told))
    finally:
        worker.terminate()
        worker.wait(60)
    used = [1000 * (end - begin) / events for begin, end in zip(before, after, strict=True)]
    return Measured(rate, *used, tried)


def metrics(port: int) -> str:
    """The worker's, or nothing while it starts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Of the worker with its decoders, and of its shadow."""
    worker, shadow = 0.0, 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        used = process.cpu_times()
        if any("shadow_child" in part for part in process.cmdline()):
            shadow += used.user + used.system
        else:
            worker += used.user + used.system
    return worker, shadow


if __name__ == "__main__":
    main()
