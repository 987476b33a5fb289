"""Kafka to Kafka: images a second and CPU milliseconds an image, beside the limit and what one would write.

    make bench            (python -m benchmarks.pipeline --help)

On the same JPEGs in one folder, the starter's graph and one real Apache Kafka, in turn, `--runs` times:

- limit: decode and model alone on bytes in memory, the fastest of several ways (benchmarks/limit.py)
- mekiki, exactly once and at least once: `mekiki score`
- repeats: mekiki, exactly once, where three images in ten are files that it saw lately (model.repeats)
- naive, quix, arroyo: benchmarks/peers, Pillow's draft decode, fp32, no tags, in environments of their own
- before: another commit of this project (`--before`), beside it

Rates and CPU times are those from the first twentieth to the last verdict, by a reader of committed records.
Shared machines drift: ratios are taken within a round, and their medians are told.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.workload import write_photos
from tests.kafka.server import KafkaServer
from worker.settings import STARTER_BUNDLE

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
WAYS = (
    "limit", "exactly_once", "at_least_once", "repeats", "naive", "quix", "arroyo", "before",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One way in one round. CPU in milliseconds an image, by `decode` (children) and `all`; memory in MB."""

    rate: float
    cpu: dict[str, float]
    memory: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What all ways share: the broker, the folder of photos, and how many events."""

    bootstrap: str
    folder: Path
    events: int
    environments: Path
    before: Path | None

    @property
    def known(self) -> int:
        """Before a file is repeated, so many others have come: it is not in flight any more."""
        return self.events // 5

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def main() -> None:
    """Measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    parser.add_argument("--ways", nargs="*", default=[way for way in WAYS if way != "before"], choices=WAYS)
    parser.add_argument("--before", help="a commit of this project to measure beside")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-bench", help="those of the peers")
    parser.add_argument(
        "--half-load", type=float, default=20, help="seconds of the latency at half load; 0: no"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "pipeline.json")
    flags = parser.parse_args()
    ways = [*flags.ways, *(["before"] if flags.before and "before" not in flags.ways else [])]
    with bench(flags) as place:
        rounds = [measured_round(place, ways, number) for number in range(flags.runs)]
        result = summary(rounds, place, flags)
        flags.out.parent.mkdir(exist_ok=True)
        flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if flags.half_load:
            rate = result["ways"]["exactly_once"]["images_per_second"] / 2
            result["half_load"] = half_load(place, rate, flags.half_load)
    print(table(result))
    flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


@contextmanager
def bench(flags: argparse.Namespace) -> Iterator[Bench]:
    """A broker and photos, while the benchmark runs."""
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        home = Path(scratch)
        for name in ("photos", "images", "kafka"):
            (home / name).mkdir()
        write_distinct(write_photos(home / "photos", flags.side), home / "images", flags.events)
        before = checked_out(flags.before, home / "before") if flags.before else None
        server = KafkaServer(home / "kafka")
        server.start()
        try:
            yield Bench(server.bootstrap, home / "images", flags.events, flags.environments, before)
        finally:
            server.stop()


def write_distinct(photos: Sequence[Path], folder: Path, count: int) -> None:
    """`count` files of bytes of their own: `photos` in turn, each with a comment after its first marker."""
    for number in range(count):
        data, text = photos[number % len(photos)].read_bytes(), str(number).encode()
        comment = b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text
        (folder / f"{number:06}.jpg").write_bytes(data[:2] + comment + data[2:])


def checked_out(commit: str, folder: Path) -> Path:
    """The files of another commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


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


def limit(place: Bench, _: str) -> Measured:
    """The fastest of several ways without Kafka."""
    command = [sys.executable, "-m", "benchmarks.limit", str(place.folder), str(place.events)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout)
    cpu = said["cpu_milliseconds"]
    return Measured(max(said["images_per_second"].values()), {**cpu, "all": sum(cpu.values())})


def mekiki(
    place: Bench,
    prefix: str,
    delivery: str = "exactly_once",
    tree: Path = ROOT,
    share: float = 0.0,
    settings: Mapping[str, str] | None = None,
) -> Measured:
    """`mekiki score` of `tree` over a topic that is full already; `share` of the images are repeats.

    `settings` are more of them, as variables of the environment.
    """
    environment = worker_environment(place, prefix, delivery, tree) | dict(settings or {})
    if tree == ROOT:
        environment["MEKIKI_MODEL__REPEATS"] = "10000" if share else "0"
    worker = [sys.executable, "-m", "worker.cli"]
    subprocess.run(
        [*worker, "topics", "create"],
        env={**os.environ, **environment}, cwd=tree, check=True, capture_output=True,
    )  # fmt: skip
    publish(place, prefix, share)
    begin = place.known if share else place.events // 20
    return watched(place, prefix, [*worker, "score"], environment, tree, begin)


def peer(place: Bench, prefix: str, module: str, environment: str, *arguments: str) -> Measured:
    """A program of benchmarks/peers over a topic that is full already."""
    names = [f"{prefix}uploaded", f"{prefix}moderated"]
    admin = AdminClient({"bootstrap.servers": place.bootstrap})
    for made in admin.create_topics([NewTopic(name, 4, 1) for name in names]).values():
        made.result(30)
    publish(place, prefix)
    told = {
        "bootstrap": place.bootstrap, "group": f"{prefix}group", "uploaded": names[0], "moderated": names[1],
        "folder": str(place.folder), "bundle": str(STARTER_BUNDLE),
    }  # fmt: skip
    python = sys.executable if environment == "" else str(place.environments / environment / "bin" / "python")
    command = [python, "-m", f"benchmarks.peers.{module}", json.dumps(told), *arguments]
    return watched(place, prefix, command, {}, ROOT, place.events // 20)


WAY: dict[str, Callable[[Bench, str], Measured]] = {
    "limit": limit,
    "exactly_once": mekiki,
    "at_least_once": lambda place, prefix: mekiki(place, prefix, "at_least_once"),
    "repeats": lambda place, prefix: mekiki(place, prefix, share=0.3),
    "naive": lambda place, prefix: peer(place, prefix, "naive", ""),
    "quix": lambda place, prefix: peer(place, prefix, "quix", "quix", "exactly-once"),
    "arroyo": lambda place, prefix: peer(place, prefix, "arroyo_stream", "arroyo"),
    "before": lambda place, prefix: mekiki(place, prefix, tree=place.before or ROOT),
}


def worker_environment(place: Bench, prefix: str, delivery: str, tree: Path) -> dict[str, str]:
    """Settings of a worker with topics and a group of its own, as far as `tree` knows them."""
    code = (
        "import json; from worker.settings import Settings; "
        "print(json.dumps([name for name, value in Settings().topics if isinstance(value, str)]))"
    )
    asked = subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, text=True)
    return {
        "MEKIKI_KAFKA__BOOTSTRAP_SERVERS": place.bootstrap,
        "MEKIKI_KAFKA__GROUP": f"{prefix}group",
        "MEKIKI_TOPICS": json.dumps({name: prefix + name for name in json.loads(asked.stdout)}),
        "MEKIKI_FETCH__FOLDER": str(place.folder),
        "MEKIKI_SCORE__DELIVERY": delivery,
        "MEKIKI_HTTP__PORT": "0",
        "MEKIKI_LOG__LEVEL": "WARNING",
    }


def publish(place: Bench, prefix: str, share: float = 0.0, rate: float = 0.0) -> None:
    """All events to `<prefix>uploaded`; each is of a file of its own, but `share` of the later.

    With `rate`, so many a second.
    """
    producer = Producer({"bootstrap.servers": place.bootstrap, "linger.ms": 5})
    names, draw, began = place.names(), random.Random(1), time.monotonic()
    for number in range(place.events):
        repeated = number >= place.known and draw.random() < share
        name = names[draw.randrange(number - place.known + 1) if repeated else number]
        event = {
            "event_id": f"{prefix}{number}",
            "image_id": str(number),
            "uploaded_at": datetime.now(UTC).isoformat(),
            "image": {"path": name},
        }
        producer.produce(f"{prefix}uploaded", json.dumps(event), str(number))
        producer.poll(0)
        if rate:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
    producer.flush()


def watched(
    place: Bench, prefix: str, command: list[str], environment: dict[str, str], tree: Path, begin: int
) -> Measured:
    """Start `command`, and measure from its verdict number `begin` until its last is read."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=tree)
    tree_of = psutil.Process(process.pid)
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap,
            "group.id": f"{prefix}reader",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    consumer.subscribe([f"{prefix}moderated"])
    try:
        done, began = 0, None
        while done < place.events:
            done += sum(message.error() is None for message in consumer.consume(500, 0.1))
            if began is None and done >= begin:
                began = (done, time.perf_counter(), cpu_seconds(tree_of))
            if process.poll() is not None:
                raise RuntimeError(f"{command[:4]} ended with {process.returncode}")
        assert began is not None
        count, seconds = done - began[0], time.perf_counter() - began[1]
        cpu = {name: (value - began[2][name]) / count * 1e3 for name, value in cpu_seconds(tree_of).items()}
        memory = sum(one.memory_info().rss for one in (tree_of, *tree_of.children(recursive=True))) / 1e6
        return Measured(count / seconds, cpu, memory)
    finally:
        consumer.close()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def cpu_seconds(process: psutil.Process) -> dict[str, float]:
    """CPU that a process (`all`) and its children (`decode`, where there are any) have used."""

    def used(one: psutil.Process) -> float:
        times = one.cpu_times()
        return float(times.user + times.system)

    children = sum(used(child) for child in process.children(recursive=True))
    return {"all": used(process) + children, "decode": children}


def half_load(place: Bench, rate: float, seconds: float) -> dict[str, float]:
    """Seconds from upload to a verdict that is read, while `rate` images a second arrive: p50 and p99."""
    prefix = "half."
    events = min(int(rate * seconds), place.events)
    place = Bench(place.bootstrap, place.folder, events, place.environments, None)
    environment = worker_environment(place, prefix, "exactly_once", ROOT) | {"MEKIKI_MODEL__REPEATS": "0"}
    worker = [sys.executable, "-m", "worker.cli"]
    subprocess.run([*worker, "topics", "create"], env={**os.environ, **environment}, cwd=ROOT, check=True)
    process = subprocess.Popen([*worker, "score"], env={**os.environ, **environment}, cwd=ROOT)
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.pipeline import Bench, publish; "
        "told = json.loads(sys.argv[1]); folder = Path(told['folder']); "
        "publish(Bench(told['bootstrap'], folder, told['events'], folder, None), 'half.', 0.0, told['rate'])"
    )
    told = {
        "bootstrap": place.bootstrap, "folder": str(place.folder), "events": place.events, "rate": rate,
    }  # fmt: skip
    publisher = None
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap,
            "group.id": "half.reader",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.subscribe([f"{prefix}moderated"])
    try:
        time.sleep(10)  # until it serves
        publisher = subprocess.Popen([sys.executable, "-c", code, json.dumps(told)], cwd=ROOT)
        late: list[float] = []
        while len(late) < place.events:
            if publisher.poll():
                raise RuntimeError("the publisher failed")
            for message in consumer.consume(100, 0.02):
                uploaded = datetime.fromisoformat(json.loads(message.value() or b"")["uploaded_at"])
                late.append((datetime.now(UTC) - uploaded).total_seconds())
    finally:
        consumer.close()
        process.terminate()
        process.wait(60)
        if publisher is not None:
            publisher.kill()
    late = sorted(late[len(late) // 10 :])
    return {"images_per_second": rate, "p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)]}


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
    lines = [f"{'':14}{'images/s':>10}{'of limit':>10}{'CPU ms':>9}{'decode':>8}{'MB':>7}"]
    for way, found in result["ways"].items():
        cpu = found["cpu_milliseconds"]
        ratio = f"{found['of_limit']:.2f}" if found["of_limit"] else ""
        lines.append(
            f"{way:14}{found['images_per_second']:10.0f}{ratio:>10}{cpu.get('all', 0):9.2f}"
            f"{cpu.get('decode', 0):8.2f}{found['memory_megabytes']:7.0f}"
        )
    if half := result.get("half_load"):
        lines.append(
            f"at {half['images_per_second']:.0f} images/s: p50 {half['p50']:.3f} s, p99 {half['p99']:.3f} s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
