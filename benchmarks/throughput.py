"""Images a second, Kafka to Kafka, against the physical limit and against a plain loop.

    python -m benchmarks.throughput [--events 2000] [--runs 3] [--side 1200]

Four ways judge the same JPEGs from a folder, in turn, `--runs` times, on a real Apache Kafka:

- bare: decode and model alone, batched, no Kafka: what the machine could do
- loop: one event after another, offsets committed every 100: what one writes first
- at_least_once, exactly_once: `mekiki score`

Medians, and the ratio to bare within the same round; shared machines drift too much for more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer
from PIL import Image

from tests.kafka.server import KafkaServer
from worker.demo.run import ASSETS
from worker.model.bundle import Bundle, load_bundle
from worker.model.decode import ImageLimits, decode
from worker.model.infer import ImageBatch
from worker.settings import Settings

LIMITS = ImageLimits()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        folder, home = Path(scratch, "images"), Path(scratch, "kafka")
        folder.mkdir()
        home.mkdir()
        paths = write_photos(folder, options.side)
        server = KafkaServer(home)
        server.start()
        try:
            measure(server.bootstrap, paths, options.events, options.runs)
        finally:
            server.stop()


def write_photos(folder: Path, side: int, source: Path = ASSETS / "photos") -> list[Path]:
    """The JPEGs of `source`, enlarged to `side` pixels, of the size that phones upload."""
    paths = []
    for photo in sorted(source.glob("*.jpg")):
        with Image.open(photo) as image:
            scale = side / max(image.size)
            large = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
        noise = np.random.default_rng(len(paths)).normal(0, 6, (large.height, large.width, 1))
        pixels = (np.asarray(large) + noise).clip(0, 255).astype(np.uint8)
        paths.append(folder / photo.name)
        Image.fromarray(pixels).save(paths[-1], quality=85)
    return paths


def measure(bootstrap: str, paths: list[Path], events: int, runs: int) -> None:
    """Run the four ways in turn and print medians and ratios."""
    bundle = load_bundle(Settings().model)
    size = statistics.mean(path.stat().st_size for path in paths) / 1000
    print(f"{events} events of {len(paths)} JPEGs of {size:.0f} kB, {os.cpu_count()} cores, {runs} rounds")
    ways: dict[str, Callable[[str], float]] = {
        "bare": lambda _: bare(bundle, paths, events),
        "loop": lambda prefix: loop(bundle, bootstrap, prefix, paths, events),
        "at_least_once": lambda prefix: mekiki("at_least_once", bootstrap, prefix, paths, events),
        "exactly_once": lambda prefix: mekiki("exactly_once", bootstrap, prefix, paths, events),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            rates[name].append(way(f"bench{number}.{name}."))
            print(f"  round {number + 1} {name:14} {rates[name][-1]:7.0f} images/s", flush=True)
    print(f"{'':14} {'median':>9} {'of bare':>8}")
    for name, found in rates.items():
        ratio = statistics.median(rate / limit for rate, limit in zip(found, rates["bare"], strict=True))
        print(f"{name:14} {statistics.median(found):9.0f} {ratio:8.2f}")


def bare(bundle: Bundle, paths: list[Path], events: int) -> float:
    """Decode in as many threads as cores while batches of 32 are inferred and tagged; images a second."""
    (size,) = bundle.manifest.image_inputs()

    def pixels(number: int) -> np.ndarray:
        return decode(paths[number % len(paths)].read_bytes(), size.height, size.width, LIMITS).pixels

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(pixels, range(events))
        while batch := list(islice(decoded, 32)):
            embeddings = bundle.model.infer(ImageBatch([np.stack(batch)], {})).embeddings
            if bundle.tagger:
                bundle.tagger(embeddings)
    return events / (time.perf_counter() - began)


def settings_of(bootstrap: str, prefix: str, delivery: str, folder: Path) -> dict[str, str]:
    """Environment of a worker with topics and a group of its own."""
    topics = {name: prefix + value for name, value in Settings().topics if isinstance(value, str)}
    return {
        "MEKIKI_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "MEKIKI_KAFKA__GROUP": f"{prefix}group",
        "MEKIKI_TOPICS": json.dumps(topics),
        "MEKIKI_FETCH__FOLDER": str(folder),
        "MEKIKI_SCORE__DELIVERY": delivery,
        "MEKIKI_MODEL__REPEATS": "0",  # a few photos stand for many
        "MEKIKI_HTTP__PORT": "0",
        "MEKIKI_LOG__LEVEL": "WARNING",
    }


def publish(bootstrap: str, prefix: str, paths: list[Path], events: int) -> None:
    """Upload events to `<prefix>listing.image.uploaded.v1`."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    for number in range(events):
        event = {
            "event_id": f"{prefix}{number}",
            "image_id": str(number),
            "uploaded_at": datetime.now(UTC).isoformat(),
            "image": {"path": paths[number % len(paths)].name},
        }
        producer.produce(f"{prefix}{Settings().topics.uploaded}", json.dumps(event), str(number))
        producer.poll(0)
    producer.flush()


def create(environment: dict[str, str]) -> None:
    """Make the topics."""
    command = [sys.executable, "-m", "worker.cli", "topics", "create"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)


def mekiki(delivery: str, bootstrap: str, prefix: str, paths: list[Path], events: int) -> float:
    """`mekiki score` over a topic that is full already; from the first verdict to the last."""
    environment = settings_of(bootstrap, prefix, delivery, paths[0].parent)
    create(environment)
    publish(bootstrap, prefix, paths, events)
    command = [sys.executable, "-m", "worker.cli", "score"]
    worker = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        return rate_of(bootstrap, f"{prefix}{Settings().topics.moderated}", events)
    finally:
        worker.terminate()
        worker.wait(60)


def rate_of(bootstrap: str, topic: str, events: int) -> float:
    """Committed records a second on `topic`, by their own timestamps."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"{topic}.reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    times: list[int] = []
    while len(times) < events:
        times += [message.timestamp()[1] for message in consumer.consume(500, 1.0) if not message.error()]
    consumer.close()
    times.sort()
    # What came with the first commit was judged before the clock began.
    before = sum(time_ms < times[0] + 50 for time_ms in times)
    return (events - before) / ((times[-1] - times[0]) / 1000)


def loop(bundle: Bundle, bootstrap: str, prefix: str, paths: list[Path], events: int) -> float:
    """One event after another; images a second from the first to the last."""
    create(settings_of(bootstrap, prefix, "at_least_once", paths[0].parent))
    publish(bootstrap, prefix, paths, events)
    (size,), topics = bundle.manifest.image_inputs(), Settings().topics
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{prefix}group",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    consumer.subscribe([f"{prefix}{topics.uploaded}"])
    done, began = 0, 0.0
    while done < events:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        began = began or time.perf_counter()
        name = json.loads(message.value() or b"")["image"]["path"]
        pixels = decode((paths[0].parent / name).read_bytes(), size.height, size.width, LIMITS).pixels
        inference = bundle.model.infer(ImageBatch([pixels[np.newaxis]], {}))
        tags = bundle.tagger(inference.embeddings)[0] if bundle.tagger else []
        scores = {key: float(value[0]) for key, value in inference.scores.items()}
        verdict = json.dumps({"scores": scores, "tags": [tag.model_dump() for tag in tags]})
        producer.produce(f"{prefix}{topics.moderated}", verdict, message.key())
        done += 1
        if done % 100 == 0 or done == events:
            producer.flush()
            consumer.commit(asynchronous=False)
    consumer.close()
    return events / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
