"""The ways from Kafka to Kafka that are measured, and how: by a reader of committed records."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.offer import upload
from benchmarks.place import ROOT, WORKER, Bench, worker_environment
from worker.settings import STARTER_BUNDLE


@dataclass(frozen=True)
class Measured:
    """One way in one round. CPU in milliseconds an image; memory in MB.

    `cpu` is that of the way (`all`), of its children that decode (`decode`), and of the broker beside it.
    """

    rate: float
    cpu: dict[str, float]
    memory: float = 0.0


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
    workers: int = 1,
) -> Measured:
    """So many times `mekiki score` of `tree` over a topic that is full; `share` of the images are repeats.

    `settings` are more of them, as variables of the environment.
    """
    environment = worker_environment(place, prefix, delivery, tree) | dict(settings or {})
    if tree == ROOT:
        environment["MEKIKI_MODEL__REPEATS"] = "10000" if share else "0"
    subprocess.run(
        [*WORKER, "topics", "create"],
        env={**os.environ, **environment}, cwd=tree, check=True, capture_output=True,
    )  # fmt: skip
    publish(place, prefix, share)
    begin = place.known if share else place.events // 20
    return watched(place, prefix, [*WORKER, "score"], environment, tree, begin, workers)


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


def publish(place: Bench, prefix: str, share: float = 0.0) -> None:
    """All events to `<prefix>uploaded`; each is of a file of its own, but `share` of the later."""
    producer = Producer({"bootstrap.servers": place.bootstrap, "linger.ms": 5})
    topic, names, draw = f"{prefix}uploaded", place.names(), random.Random(1)
    for number in range(place.events):
        repeated = number >= place.known and draw.random() < share
        name = names[draw.randrange(number - place.known + 1) if repeated else number]
        producer.produce(topic, upload(topic, number, name), str(number))
        producer.poll(0)
    producer.flush()


def watched(
    place: Bench,
    prefix: str,
    command: list[str],
    environment: dict[str, str],
    tree: Path,
    begin: int,
    count: int = 1,
) -> Measured:
    """Start `command` so many times, and measure from verdict number `begin` until the last is read."""
    started = [subprocess.Popen(command, env={**os.environ, **environment}, cwd=tree) for _ in range(count)]
    processes, broker = [psutil.Process(one.pid) for one in started], psutil.Process(place.broker)
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
                began = (done, time.perf_counter(), cpu_seconds(processes, broker))
            if ended := next((one for one in started if one.poll() is not None), None):
                raise RuntimeError(f"{command[:4]} ended with {ended.returncode}")
        assert began is not None
        images, seconds = done - began[0], time.perf_counter() - began[1]
        if images == 0:
            raise RuntimeError(f"all {place.events} events came at once: measure more")
        used = cpu_seconds(processes, broker)
        cpu = {name: (value - began[2][name]) / images * 1e3 for name, value in used.items()}
        memory = sum(one.memory_info().rss for one in (*processes, *children_of(processes))) / 1e6
        return Measured(images / seconds, cpu, memory)
    finally:
        consumer.close()
        for one in started:
            one.terminate()
        for one in started:
            try:
                one.wait(60)
            except subprocess.TimeoutExpired:
                one.kill()


def children_of(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """All below them."""
    return [child for process in processes for child in process.children(recursive=True)]


def cpu_seconds(processes: Sequence[psutil.Process], broker: psutil.Process) -> dict[str, float]:
    """CPU that processes (`all`), their children (`decode`, where there are any) and the broker have used."""

    def used(some: Sequence[psutil.Process]) -> float:
        times = [one.cpu_times() for one in some]
        return float(sum(each.user + each.system for each in times))

    children = used(children_of(processes))
    return {"all": used(processes) + children, "decode": children, "broker": used([broker])}
