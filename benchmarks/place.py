"""Where benchmarks of the pipeline run: a broker, a folder of photos, workers with topics of their own."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import write_photos
from tests.kafka.server import SERVES, KafkaServer

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
WORKER = (sys.executable, "-m", "worker.cli")


@dataclass(frozen=True)
class Bench:
    """What all ways share: the broker, the folder of photos, and how many events."""

    bootstrap: str
    broker: int  # its process
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


@contextmanager
def bench(flags: argparse.Namespace) -> Iterator[Bench]:
    """A broker and photos, while the benchmark runs."""
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        home = Path(scratch)
        for name in ("photos", "images", "kafka"):
            (home / name).mkdir()
        write_distinct(write_photos(home / "photos", flags.side), home / "images", flags.events)
        before = checked_out(flags.before, home / "before") if flags.before else None
        server = KafkaServer(home / "kafka", SERVES)
        server.start()
        try:
            yield Bench(
                server.bootstrap, server.pid, home / "images", flags.events, flags.environments, before
            )
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


@contextmanager
def serving(place: Bench, prefix: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`mekiki score`, exactly once, ready: topics of its own, HTTP on `port`; no file is known again."""
    environment = {
        **os.environ,
        **worker_environment(place, prefix, "exactly_once", ROOT),
        "MEKIKI_MODEL__REPEATS": "0",
        "MEKIKI_HTTP__PORT": str(port),
    }
    subprocess.run([*WORKER, "topics", "create"], env=environment, cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen([*WORKER, "score"], env=environment, cwd=ROOT)
    try:
        _wait_until_ready(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError("the worker did not become ready")
