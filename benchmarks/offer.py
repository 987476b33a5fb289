"""Publishes upload events of files in a folder at a steady rate, in a process of its own.

python -m benchmarks.offer '{"bootstrap": ..., "topic": ..., "folder": ..., "events": ..., "rate": ...}'
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer

ROOT = Path(__file__).parents[1]


def upload(topic: str, number: int, name: str) -> bytes:
    """The value of the upload event with this `number` on `topic`, of the file `name`, uploaded now."""
    event = {
        "event_id": f"{topic}{number}",
        "image_id": str(number),
        "uploaded_at": datetime.now(UTC).isoformat(),
        "image": {"path": name},
    }
    return json.dumps(event).encode()


@dataclass(frozen=True)
class Offer:
    """`events` uploads to `topic`, `rate` a second (0: at once), of the files in `folder` in turn."""

    bootstrap: str
    topic: str
    folder: str
    events: int
    rate: float

    def publish(self) -> None:
        """Send them; `uploaded_at` is the time of sending."""
        names = sorted(path.name for path in Path(self.folder).iterdir())
        producer, began = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5}), time.monotonic()
        for number in range(self.events):
            producer.produce(self.topic, upload(self.topic, number, names[number % len(names)]), str(number))
            producer.poll(0)
            if self.rate:
                time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
        producer.flush()


@contextmanager
def offering(offer: Offer) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that publishes, ended with the context."""
    command = [sys.executable, "-m", "benchmarks.offer", json.dumps(asdict(offer))]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    Offer(**json.loads(sys.argv[1])).publish()
