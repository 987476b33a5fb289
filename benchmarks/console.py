"""How fast the console's pages are with many verdicts in its database, and how fast Try recounts.

    python -m benchmarks.console [--verdicts 1000000] [--database URL]

The rows are written into the database as the reader does; the pages are asked for over HTTP.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from console.app import create_console
from console.columns import ScoreColumns
from console.database import Database, image, step, verdict
from console.pages import Parts
from console.pictures import Pictures
from console.protection import RateLimit
from console.queue import Queue
from console.request import Gate, Limits
from console.rows import RowReader, queue_of
from console.searching import Searching
from console.sign_in import SignIn
from console.trials import Trials
from schemas.policy import Policy, Threshold
from worker.health import Health
from worker.http import HttpServer
from worker.metrics import Metrics
from worker.model.still import ImageLimits
from worker.settings import ConsoleSettings, TopicSettings
from worker.stream.kafka import InputRecord

_POLICY = Policy(
    thresholds={"text": Threshold(block=0.6, review=0.5), "qr": Threshold(block=0.5)},
    categories={f"category-{n}": {"text": Threshold(block=0.7 + n / 100)} for n in range(10)},
)
_CHUNK = 5000
_TIMES = 15


def records(count: int) -> Iterator[InputRecord]:
    """Verdicts like those of the starter bundle, over the last days."""
    chance, now = random.Random(1), int(time.time() * 1000)
    for number in range(count):
        text, qr = chance.random() ** 4, chance.random() ** 8
        decision = "block" if text >= 0.6 or qr >= 0.5 else "review" if text >= 0.5 else "accept"
        body = {
            "event_id": f"{number:08x}-0000-5000-8000-000000000000",
            "image_id": f"shop-{number % 5000}/{number}.jpg",
            "listing_id": str(number),
            "bundle_id": "starter-0.5.2-e465b9fbb5d9",
            "image_sha256": f"{number:064x}",
            "input": {"event_id": str(number), "topic": "uploads", "partition": number % 4, "offset": number},
            "uploaded_at": "2026-11-21T12:00:00Z",
            "decided_at": "2026-11-21T21:36:30.470003Z",
            "type": "listing.image.moderated.v1",
            "decision": decision,
            "reasons": [],
            "scores": {"text": text, "qr": qr, "preference": chance.random()},
            "category": f"category-{number % 40}",
            "policy_sha256": "2fcbed70a3040eba7fea0ab5f06d5fc658c84c523ac48c8dffcc29e3dc2797e5",
        }
        at = now - (count - number) * 600
        yield InputRecord(TopicSettings().moderated, number % 4, number, str(body["image_id"]).encode(),
                          json.dumps(body).encode(), (), at)  # fmt: skip


def fill(database: Database, count: int) -> None:
    """Write `count` verdicts with their images and two steps of each."""
    read = RowReader(TopicSettings(), _POLICY, lambda _: [])
    part: list[InputRecord] = []
    for record in records(count):
        part.append(record)
        if len(part) == _CHUNK:
            _write(database, read, part)
            part = []
    if part:
        _write(database, read, part)


def _write(database: Database, read: RowReader, part: list[InputRecord]) -> None:
    rows = read(part)
    tags = [{**row, "topic": "enriched", "kind": "tags"} for row in rows.steps]
    images = [{**row, "queue": queue_of(row)} for row in rows.verdicts]
    with database.transaction() as connection:
        for table, found in ((verdict, rows.verdicts), (step, rows.steps), (step, tags), (image, images)):
            names = [column.name for column in table.columns]
            connection.execute(insert(table), [{name: row[name] for name in names} for row in found])


def measure(url: str, path: str) -> tuple[float, float]:
    """Median and longest, in milliseconds."""
    took = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            answer.read()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)


def main() -> None:
    """Fill, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--database", help="SQLAlchemy URL of an empty database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        database = Database(options.database or f"sqlite:///{Path(home)}/console.db")
        began = time.monotonic()
        fill(database, options.verdicts)
        kind, took = database.engine.dialect.name, time.monotonic() - began
        print(f"{options.verdicts:,} verdicts written in {took:.0f} s ({kind})")
        columns, began = ScoreColumns(), time.monotonic()
        columns.load(database, 0)
        print(f"columns loaded in {time.monotonic() - began:.1f} s")
        queue, nothing = Queue(database, 120), lambda *_: None
        many = RateLimit(1e9, 1e9)
        words: Any = None
        parts = Parts(
            gate=Gate(SignIn(ConsoleSettings()), Limits(many, many, many, many), local_only=True),
            queue=queue,
            columns=columns,
            trials=Trials(database),
            pictures=Pictures(nothing, lambda _: b"", nothing, ImageLimits(), 1000),  # type: ignore[arg-type]
            words=words,
            again=words,
            searching=Searching(None),
            policy=_POLICY,
            lag=lambda: 0,
            max_body=1000,
        )
        app = create_console(parts, Health(60, ()), Metrics(CollectorRegistry()))
        with HttpServer(app, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.port}"
            last = f"shop-{(options.verdicts - 1) % 5000}/{options.verdicts - 1}.jpg"
            counts = ("text.block=0.55&focus=text", "text.block=0.8&qr.block=0.3&focus=qr")
            for path in (
                *("/now", "/now/cards", "/review", f"/why?id={last}", "/try", "/search"),
                *(f"/try/count?{count}" for count in counts),
            ):
                median, longest = measure(url, path)
                print(f"{path:50} median {median:6.1f} ms, longest {longest:6.1f} ms")
        database.close()


if __name__ == "__main__":
    main()
