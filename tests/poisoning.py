"""Three workers on four partitions, one event that ends them, and a supervisor that starts them again."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from tests import events, images
from tests.guarded_worker import GuardedWorker
from tests.kafka.client import Broker, Record
from tests.poisoned_worker import POISON
from tests.results import Place, Results, places
from tests.workplace import Workplace
from worker.settings import Settings


@dataclass
class Poisoned:
    """What came of it."""

    sent: list[Record]
    results: Results
    ends: list[str] = field(default_factory=list)

    @property
    def poison(self) -> Place:
        (place,) = places(record for record in self.sent if (record.key or b"").startswith(b"poison"))
        return place


def poison_settings(workplace: Workplace, mode: str) -> Settings:
    """Settings under which a dead worker's partitions wait a moment only."""
    kafka = {
        "consumer": {"session.timeout.ms": "2000", "heartbeat.interval.ms": "300"},
        "transaction_timeout": 5,
    }
    return workplace.changed(
        score={"delivery": mode}, model={"timeout": 3}, decode={"timeout": 4}, kafka=kafka
    )


def poison(
    broker: Broker, settings: Settings, home: Path, fault: str, count: int, timeout: float = 100
) -> Poisoned:
    """Send `count` uploads with one in their middle that is poison, and work them off.

    `fault` is what POISON says. Restarts are counted in `ends`: how each process ended.
    """
    image = images.encoded(images.photo(1, 64, 64))
    uploads = [events.uploaded_bytes(f"good-{number}", image) for number in range(count)]
    uploads.insert(count // 2, events.uploaded_bytes("poison", image))
    sent = broker.send(settings.topics.uploaded, uploads)
    poisoned = Poisoned(sent, Results([], [], [], [], []))
    workers = [_start(settings, number, home / f"{number}-0.log", fault) for number in range(3)]
    last = {number: max(r.offset for r in sent if r.partition == number) for number, _ in places(sent)}
    deadline = time.monotonic() + timeout
    try:
        while not _done(broker, settings, last):
            logs = "\n".join(worker.tail(12) for worker in workers)
            assert time.monotonic() < deadline, f"not done; ended so far: {poisoned.ends}\n{logs}"
            for number, worker in enumerate(workers):
                if worker.returncode is not None:
                    poisoned.ends.append(f"{worker.returncode}: {worker.tail(3)}")
                    log = home / f"{number}-{len(poisoned.ends)}.log"
                    workers[number] = _start(settings, number, log, fault)
            time.sleep(0.2)
        for worker in workers:
            worker.wait_until(lambda worker=worker: "running score" in worker.tail(), "running", 30)  # type: ignore[misc]
        # 1: one whose thread still hangs over an event that went to another worker ends by itself.
        ends = [worker.terminate(30) for worker in workers]
        assert set(ends) <= {0, 1}, f"{ends}\n" + "\n".join(worker.tail(12) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()
    poisoned.results = Results.read(broker, settings.topics)
    return poisoned


def _start(settings: Settings, number: int, log: Path, fault: str) -> GuardedWorker:
    kafka = settings.kafka.model_copy(update={"transactional_id": f"{settings.kafka.group}-{number}"})
    settings = settings.model_copy(update={"kafka": kafka})
    return GuardedWorker(["score"], settings, log, "tests.poisoned_worker", {POISON: fault})


def _done(broker: Broker, settings: Settings, last: dict[int, int]) -> bool:
    committed = broker.committed(settings.kafka.group, settings.topics.uploaded)
    return all(committed[number] > offset for number, offset in last.items())
