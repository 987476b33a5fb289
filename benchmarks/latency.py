"""Latency: seconds from an upload to a verdict that is read, while uploads arrive at a steady rate."""

import json
from datetime import UTC, datetime

from confluent_kafka import Consumer

from benchmarks.offer import Offer, offering
from benchmarks.place import Bench, serving
from tests.kafka.server import free_ports

PREFIX = "half."


def latency_at(place: Bench, rate: float, seconds: float) -> dict[str, float]:
    """The median and the 99th percentile of a worker on which `rate` images a second arrive."""
    events = min(int(rate * seconds), place.events)
    offer = Offer(place.bootstrap, f"{PREFIX}uploaded", str(place.folder), events, rate)
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap,
            "group.id": f"{PREFIX}reader",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 5,
        }
    )
    late: list[float] = []
    with serving(place, PREFIX, free_ports(1)[0]), offering(offer) as publisher:
        consumer.subscribe([f"{PREFIX}moderated"])
        while len(late) < events:
            if publisher.poll():
                raise RuntimeError("the publisher failed")
            for message in consumer.consume(100, 0.02):
                if message.error() is None:
                    uploaded = datetime.fromisoformat(json.loads(message.value() or b"")["uploaded_at"])
                    late.append((datetime.now(UTC) - uploaded).total_seconds())
        consumer.close()
    late = sorted(late[len(late) // 10 :])
    return {"images_per_second": rate, "p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)]}
