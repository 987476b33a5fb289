"""Eight at once of each file that was made to cost, on a real Kafka, beside ordinary images."""

import threading
import time
from pathlib import Path

import psutil
import pytest

from tests import events, images
from tests.guarded_worker import GuardedWorker
from tests.hostile.bombs import BOMBS
from tests.integration.running import http_json
from tests.kafka.client import Record
from tests.results import Results, place_of_dead_letter, place_of_result, places
from tests.workplace import Workplace
from worker.stream import dead_letter

AT_ONCE = 8
MOST_BYTES = 2 << 30
MOST_WAIT_MS = 2_000
# The machine's own share: other tests and the broker run beside this one.
SLACK_MS = 2_000


class Watch(threading.Thread):
    """Samples the memory of a process and its children, and its health, until `stop`."""

    def __init__(self, worker: GuardedWorker) -> None:
        super().__init__(daemon=True)
        self._worker = worker
        self._stopped = threading.Event()
        self.most_bytes = 0
        self.statuses: set[tuple[str, int]] = set()

    def run(self) -> None:
        while not self._stopped.wait(0.05):
            self.most_bytes = max(self.most_bytes, _pss(psutil.Process(self._worker.pid)))
            for path in ("/healthz", "/readyz"):
                self.statuses.add((path, http_json(f"{self._worker.url}{path}")[0]))

    def stop(self) -> None:
        self._stopped.set()
        self.join(10)


def _pss(root: psutil.Process) -> int:
    """The sum of PSS, in bytes; of a child that shows none, RSS."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.AccessDenied:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


@pytest.mark.timeout(400)
def test_eight_of_each_stop_no_one(workplace: Workplace, tmp_path: Path) -> None:
    kafka, folder = workplace.broker, workplace.folder
    (folder / "ordinary.jpg").write_bytes(images.jpeg(3, 1200, 900))
    for name, (draw, _) in BOMBS.items():
        (folder / name).write_bytes(draw())
    settings = workplace.changed(fetch={"max_bytes": 30_000_000, "threads": 16})
    topic, group = settings.topics.uploaded, settings.kafka.group
    worker = GuardedWorker(["score"], settings, tmp_path / "worker.log")
    sent: list[Record] = []
    ordinary: list[Record] = []
    try:
        worker.wait_until(lambda: _ready(worker), "ready", 60)
        watch = Watch(worker)
        watch.start()
        for name in BOMBS:
            sent += kafka.send(
                topic, [events.uploaded(f"{name}-{n}", path=name, partition=0) for n in range(AT_ONCE)]
            )
            time.sleep(0.3)
            ordinary += kafka.send(
                topic, [events.uploaded(f"beside {name}", path="ordinary.jpg", partition=1)]
            )
            kafka.wait_until_done(group, topic, 120)
        watch.stop()
        assert worker.returncode is None
    finally:
        worker.terminate(30)
    results = Results.read(kafka, settings.topics)
    assert results.outcomes() == dict.fromkeys(places([*sent, *ordinary]), 1)
    reasons = {place_of_dead_letter(dead): dead.header(dead_letter.REASON) for dead in results.dead}
    for record in sent:
        name = (record.key or b"").decode().rpartition("-")[0]
        reason = BOMBS[name][1]
        assert reasons.get((record.partition, record.offset)) == (reason and reason.encode()), name
    waits = {place_of_result(record): record.timestamp_ms for record in results.moderated}
    waited = {
        (record.key or b"").decode(): waits[record.partition, record.offset] - record.timestamp_ms
        for record in ordinary
    }
    print(f"{watch.most_bytes / 1e6:.0f} MB at the most; waited {waited}")
    assert watch.most_bytes < MOST_BYTES
    assert watch.statuses == {("/healthz", 200), ("/readyz", 200)}
    assert max(waited.values()) < MOST_WAIT_MS + SLACK_MS


def _ready(worker: GuardedWorker) -> bool:
    try:
        return http_json(f"{worker.url}/readyz")[0] == 200
    except OSError:
        return False
