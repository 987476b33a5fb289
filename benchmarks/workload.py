"""What benchmarks on a real Kafka share: photos as large as phones upload, topics, events and their rate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer
from PIL import Image

from benchmarks.offer import Offer
from worker.demo.run import ASSETS
from worker.settings import Settings


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


def publish(bootstrap: str, prefix: str, folder: Path, events: int) -> None:
    """Upload events of the files in `folder` to `<prefix>listing.image.uploaded.v1`, at once."""
    Offer(bootstrap, f"{prefix}{Settings().topics.uploaded}", str(folder), events, 0).publish()


def create(environment: dict[str, str]) -> None:
    """Make the topics."""
    command = [sys.executable, "-m", "worker.cli", "topics", "create"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)


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
