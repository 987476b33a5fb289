"""What `mekiki policy diff` takes over many verdicts on a real Kafka: seconds and peak memory.

python -m benchmarks.policy_diff [--verdicts 1000000]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

from schemas.events import MODERATED
from tests.kafka.client import Broker
from tests.kafka.server import SERVES, KafkaServer

_POLICY = {
    "thresholds": {"text": {"block": 0.6, "review": 0.4}, "qr": {"block": 0.7}},
    "categories": {f"category-{n}": {"text": {"block": 0.5 + n / 100}} for n in range(20)},
}


def publish(bootstrap: str, count: int) -> None:
    """`count` verdicts like those of the starter bundle."""
    chance = random.Random(1)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "compression.type": "lz4",
                         "queue.buffering.max.messages": 500_000})  # fmt: skip
    for number in range(count):
        text, qr = chance.random() ** 4, chance.random() ** 8
        blocked = text >= 0.5
        verdict = {
            "event_id": f"{number:08x}-0000-5000-8000-000000000000",
            "image_id": f"shop-{number % 5000}/{number}.jpg",
            "listing_id": str(number),
            "bundle_id": "starter-0.5.2-e465b9fbb5d9",
            "image_sha256": f"{number:064x}",
            "input": {"event_id": str(number), "topic": "uploads", "partition": 0, "offset": number},
            "uploaded_at": "2026-11-21T12:00:00Z",
            "decided_at": "2026-11-21T21:36:30.470003Z",
            "type": MODERATED,
            "decision": "block" if blocked else "accept",
            "reasons": [{"score": "text", "value": text, "threshold": 0.5, "effect": "block"}] * blocked,
            "scores": {"text": text, "qr": qr, "preference": chance.random()},
            "category": f"category-{number % 40}",
            "policy_sha256": "2fcbed70a3040eba7fea0ab5f06d5fc658c84c523ac48c8dffcc29e3dc2797e5",
        }
        while True:
            try:
                producer.produce(MODERATED, json.dumps(verdict).encode(), verdict["image_id"])
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(120)


def main() -> None:
    """Publish, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        server = KafkaServer(Path(home), SERVES)
        server.start()
        try:
            Broker(server.bootstrap).create_topics([MODERATED], 4)
            publish(server.bootstrap, options.verdicts)
            policy = Path(home, "new.json")
            policy.write_text(json.dumps(_POLICY))
            environment = {**os.environ, "MEKIKI_KAFKA__BOOTSTRAP_SERVERS": server.bootstrap}
            command = [sys.executable, "-m", "worker.cli", "policy", "diff", "--policy", str(policy),
                       "--format", "json"]  # fmt: skip
            found = Path(home, "report.json")
            command += ["--out", str(found)]
            began = time.monotonic()
            process = subprocess.Popen(command, env=environment)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            assert status == 0
            report = json.loads(found.read_text())
            cpu = used.ru_utime + used.ru_stime
            print(f"{report['verdicts']:,} verdicts in {seconds:.1f} s, {cpu:.1f} s of CPU")
            print(f"peak memory {used.ru_maxrss / 1024:.0f} MB")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
