"""The program as the chart configures it, on a real Kafka, under load, scraped by a real Prometheus."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import events, images
from tests.helm.installed import Installed
from tests.helm.prometheus import Prometheus
from tests.kafka.client import Broker, Record
from tests.kafka.server import KafkaServer, free_ports
from tests.processes import Process

RELEASE = "shop-mekiki"
UPLOADED = "listing.image.uploaded.v1"
EMBEDDED = "listing.image.embedded.v1"


@dataclass(frozen=True)
class Observed:
    """A running program, its Kafka and its Prometheus."""

    broker: Broker
    prometheus: Prometheus
    process: Process
    url: str


def release(folder: Path, bootstrap: str, port: int, **score: object) -> Installed:
    """The chart with everything that this machine has to have its own way, and settings of the score role."""
    values = {
        "settings": {
            "kafka": {"bootstrap_servers": bootstrap},
            "topics": {"partitions": 2, "replication_factor": 1},
            "http": {"host": "127.0.0.1", "port": port},
            "index": {"directory": str(folder / "index"), "snapshot_interval": 3},
            # A few broken uploads, no broken deploy.
            "score": {"rejection_limit": {"ratio": 0.9}, **score},
            # Off by default; on, it has figures to show.
            "codes": {"enabled": True},
        },
        "score": {"replicas": 1},
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    (folder / "values.yaml").write_text(json.dumps(values), encoding="utf-8")
    return Installed(folder, folder / "values.yaml")


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Everything, started; on leaving, everything ends."""
    (port,) = free_ports(1)
    with ExitStack() as stack:
        server = KafkaServer(_folder(folder / "kafka"))
        server.start()
        stack.callback(server.stop)
        installed = release(folder, server.bootstrap, port)
        done = installed.container("Job", f"{RELEASE}-topics").run()
        assert done.returncode == 0, done.stderr
        container = installed.container("StatefulSet", f"{RELEASE}-index")
        # Both roles in one process: `mekiki run` with the index role's configuration.
        command = [*container.command[:3], "run", *container.arguments[1:]]
        process = Process(command, folder / "worker.log", container.environment)
        stack.callback(process.terminate, 60)
        scrape = f"127.0.0.1:{port}"
        prometheus = Prometheus(_folder(folder / "prometheus"), scrape, RELEASE, installed.rules())
        stack.callback(prometheus.stop)
        url = f"http://{scrape}"
        process.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
        yield Observed(Broker(server.bootstrap), prometheus, process, url)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def upload(broker: Broker, number: int, photos: list[bytes]) -> None:
    """One round of uploads, numbered: photos, broken ones, a deletion.

    All photos but the first, and a copy of it, have bytes that never came before.
    """
    comment = str(number).encode()
    segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
    records: list[Record] = []
    for position, photo in enumerate(photos):
        fresh = photo[:2] + segment + photo[2:] if position else photo
        records.append(events.uploaded_bytes(f"image-{number}-{position}", fresh))
    records.append(events.uploaded_bytes(f"copy-{number}", photos[0]))
    records.append(events.uploaded_bytes(f"text-{number}", b"<html>not an image</html>"))
    records.append(Record(b"no JSON", f"broken-{number}".encode()))
    records.append(events.uploaded(f"elsewhere-{number}", url="https://127.0.0.1/image.jpg"))
    records.append(events.deleted(f"image-{number - 1}-0"))
    broker.send(UPLOADED, records)
    if number % 5 == 0:
        broker.send(EMBEDDED, [Record(b"no vector", f"foreign-{number}".encode())])


def search(url: str, number: int, photo: bytes) -> None:
    """One search of each kind, and one that is refused."""
    post(f"{url}/search", {"image_id": f"image-{number}-1", "k": 5})
    post(f"{url}/search", {"image": base64.b64encode(photo).decode(), "k": 5})
    post(f"{url}/search", {"image_id": "no such image", "k": 5})


def load(place: Observed, seconds: float, photos: list[bytes]) -> int:
    """Upload and search for `seconds`; the number of uploads."""
    began, number = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        number += 1
        upload(place.broker, number, photos)
        search(place.url, max(1, number - 2), photos[number % len(photos)])
        time.sleep(0.5)
    return number * (len(photos) + 5)


def drawn_photos(count: int) -> list[bytes]:
    """Some good JPEGs."""
    return [images.jpeg(seed) for seed in range(count)]


def post(url: str, body: dict[str, object]) -> int:
    """The status of the answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def get(url: str) -> tuple[int, str]:
    """The status and the body; status 0 where nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""
