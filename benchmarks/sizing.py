"""What a worker and an index replica cost: CPU time and memory on a real Kafka, for docs/operations.md.

    python -m benchmarks.sizing [--images 2000] [--side 1200] [--vectors 100000]

CPU time, unlike images a second, hardly depends on what else the machine does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.workload import create, publish, settings_of, write_photos
from schemas.bundle import BundleManifest
from schemas.events import EMBEDDED, ImageEmbedded, InputPosition
from schemas.vector import Vector
from tests.kafka.server import SERVES, KafkaServer, free_ports
from worker.model.bundle import load_bundle
from worker.settings import Settings

_DIRECTIONS = 12


@contextmanager
def role(name: str, environment: dict[str, str]) -> Iterator[str]:
    """A running role; the URL of its metrics."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "worker.cli", name, "--set", f"http.port={port}"]
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait(60)


def metrics(url: str) -> dict[str, float]:
    """The sum of every metric over its labels; empty while the role starts."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            text = response.read().decode()
    except OSError:
        return {}
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def wait_for(url: str, metric: str, value: float) -> tuple[dict[str, float], float]:
    """The metrics once `metric` reaches `value`, and the largest resident memory in bytes until then."""
    largest = 0.0
    while True:
        now = metrics(url)
        largest = max(largest, now.get("process_resident_memory_bytes", 0))
        if now.get(metric, 0) >= value:
            return now, largest
        time.sleep(0.2)


def measure_score(bootstrap: str, folder: Path, images: int, side: int) -> None:
    """CPU time and memory of the score role over a topic that is full already."""
    paths = write_photos(folder, side)
    environment = settings_of(bootstrap, "score.", "exactly_once", folder)
    create(environment)
    publish(bootstrap, "score.", folder, images)
    with role("score", environment) as url:
        before, _ = wait_for(url, "mekiki_health_ready_ratio", 1)
        after, memory = wait_for(url, "mekiki_commit_outcomes_total", images)
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    done = images - before.get("mekiki_commit_outcomes_total", 0)
    size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"score: {images} JPEGs of {side} px, {size:.0f} kB")
    print(f"  {cpu / done * 1000:.1f} ms CPU an image; start {before['process_cpu_seconds_total']:.1f} s CPU")
    print(f"  {memory / 1e6:.0f} MB resident at most")


def publish_vectors(bootstrap: str, topic: str, manifest: BundleManifest, count: int) -> None:
    """Unit vectors as the score role would publish them, spread like photos': along a few directions.

    Vectors that are random in all directions have no near neighbours, which no graph can search fast.
    """
    random = np.random.default_rng(0)
    directions = random.normal(size=(_DIRECTIONS, manifest.embedding.dim))
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"})
    now = datetime.now(UTC)
    for number in range(count):
        vector = (random.normal(size=_DIRECTIONS) @ directions).astype(np.float32)
        event = ImageEmbedded(
            event_id=uuid4(),
            image_id=f"image-{number}",
            listing_id=None,
            bundle_id="sizing",
            image_sha256="0" * 64,
            input=InputPosition(event_id=str(number), topic="t", partition=0, offset=number),
            uploaded_at=now,
            decided_at=now,
            space=manifest.embedding.space,
            vector=Vector.from_array(vector / np.linalg.norm(vector)),
        )
        while True:
            try:
                producer.produce(topic, event.model_dump_json(), f"image-{number}")
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def measure_index(bootstrap: str, directory: Path, vectors: int) -> None:
    """Time, memory and disk of an index replica that reads its log from the start."""
    environment = settings_of(bootstrap, "index.", "exactly_once", directory.parent)
    environment |= {"MEKIKI_INDEX__DIRECTORY": str(directory), "MEKIKI_INDEX__NAME": "sizing"}
    create(environment)
    manifest = load_bundle(Settings().model).manifest
    publish_vectors(bootstrap, f"index.{EMBEDDED}", manifest, vectors)
    print(f"index: {vectors} vectors of {manifest.embedding.dim}")
    print(f"  as they come: {filled(environment, directory, vectors)}")
    shutil.rmtree(directory)
    print(f"  again from the log: {filled(environment, directory, vectors)}")


def filled(environment: dict[str, str], directory: Path, vectors: int) -> str:
    """What it takes a replica to have all `vectors` searchable, and built."""
    began = time.monotonic()
    with role("index", environment) as url:
        ready, memory = wait_for(url, "mekiki_index_vectors", vectors)
        took = time.monotonic() - began
        while metrics(url)["mekiki_index_tail_records"] > 0:
            time.sleep(0.5)
        built = time.monotonic() - began
        generations = sorted(path for path in directory.iterdir() if path.name.startswith("generation"))
        disk = sum(path.stat().st_size for path in generations[-1].rglob("*") if path.is_file())
    return (
        f"searchable after {took:.0f} s and {ready['process_cpu_seconds_total']:.0f} s CPU, built after "
        f"{built:.0f} s; {memory / 1e6:.0f} MB resident, {disk / 1e6:.0f} MB a generation"
    )


def main() -> None:
    """Measure both roles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--vectors", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-sizing-") as scratch:
        home, photos, directory = Path(scratch, "kafka"), Path(scratch, "photos"), Path(scratch, "index")
        for folder in (home, photos):
            folder.mkdir()
        server = KafkaServer(home, SERVES)
        server.start()
        try:
            measure_score(server.bootstrap, photos, given.images, given.side)
            measure_index(server.bootstrap, directory, given.vectors)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
