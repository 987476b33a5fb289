"""Three score workers and an index on three brokers, under a supervisor, while uploads arrive."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException

from tests import events, images
from tests.guarded_worker import GuardedWorker
from tests.integration.running import http_json
from tests.kafka.client import Broker, Record
from tests.kafka.nodes import Nodes
from tests.results import Results, body
from worker.settings import Settings

WORKERS = 3
MOVING_SECONDS = 60


class Crowd:
    """Topics of its own.

    `moved` are the seconds that it took to move again, `gone` the images whose records a disturbance took
    from the log, `again` those that it had judged once more.
    """

    def __init__(self, nodes: Nodes, home: Path, settings: Settings) -> None:
        self.nodes, self.settings = nodes, settings
        self.broker = Broker(nodes.bootstrap)
        self.sent: list[Record] = []
        self.gone: set[str] = set()
        self.again: Counter[str] = Counter()
        self.ends: list[str] = []
        self.moved: list[float] = []
        self._named = 0
        self._home = home
        self._image = images.encoded(images.photo(1, 64, 64))
        self.workers: list[GuardedWorker] = []
        self.start()

    def start(self) -> None:
        """Start every worker and the index."""
        self.workers = [self._start(number) for number in range(WORKERS + 1)]

    def stop_workers(self) -> None:
        """End every worker in order; nobody is left in the group."""
        assert {worker.terminate(40) for worker in self.workers} == {0}

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()

    @property
    def index(self) -> GuardedWorker:
        return self.workers[-1]

    def upload(self) -> Record:
        """The upload of an image that was never seen."""
        self._named += 1
        return events.uploaded_bytes(f"image-{self._named}", self._image)

    def send(self, records: Iterable[Record]) -> list[Record]:
        sent = self.broker.send(self.settings.topics.uploaded, records)
        self.sent += sent
        return sent

    def during(self, seconds: float, count: int = 10) -> None:
        """Send some uploads each second, and start again what ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervise()
            with suppress(AssertionError, KafkaException):  # the brokers are away
                self.send([self.upload() for _ in range(count)])
            time.sleep(1)

    def supervise(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.returncode is not None:
                self.ends.append(f"{number}: {worker.returncode}: {worker.tail(3, without='librdkafka')}")
                self.workers[number] = self._start(number)

    def wait_until_moving(self) -> None:
        """Within a minute each worker is ready, and uploads of now on all partitions have their outcome."""
        began, burst = time.monotonic(), list[Record]()

        def moving() -> bool:
            if not burst:
                burst.extend(self.send([self.upload() for _ in range(40)]))
            return self.done() and all(is_ready(worker.url) for worker in self.workers)

        self.wait(moving, "moving", MOVING_SECONDS)
        self.moved.append(time.monotonic() - began)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self.supervise()
            with suppress(KafkaException, AssertionError):
                if condition():
                    return
            logs = "\n---\n".join(worker.tail(12, without="librdkafka") for worker in self.workers)
            assert time.monotonic() < deadline, f"not {what} within {timeout:g} s\n{self.ends}\n{logs}"
            time.sleep(0.3)

    def done(self) -> bool:
        """Whether every upload that was sent is committed."""
        return self._has_committed(self.settings.kafka.group, self.settings.topics.uploaded, self.sent)

    def indexed(self) -> bool:
        """Whether the index has acknowledged everything."""
        topic = self.settings.topics.embedded
        group = f"mekiki-index-{self.settings.index.name}"
        return self._has_committed(group, topic, self.broker.read(topic))

    def metric(self, name: str) -> float:
        """The sum of a sample over the score workers of now."""
        total = 0.0
        for worker in self.workers[:WORKERS]:
            lines = http_json(f"{worker.url}/metrics")[1].splitlines()
            total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
        return total

    def _has_committed(self, group: str, topic: str, records: Iterable[Record]) -> bool:
        committed, last = self.broker.committed(group, topic), Counter[int]()
        for record in records:
            last[record.partition] = max(last[record.partition], record.offset)
        return all(committed[partition] > offset for partition, offset in last.items())

    def _start(self, number: int) -> GuardedWorker:
        role = "score" if number < WORKERS else "index"
        kafka = self.settings.kafka.model_copy(
            update={"transactional_id": f"{self.settings.kafka.group}-{number}"}
        )
        log = self._home / f"{number}-{time.monotonic_ns()}.log"
        return GuardedWorker([role], self.settings.model_copy(update={"kafka": kafka}), log)


def is_ready(url: str) -> bool:
    try:
        return http_json(f"{url}/readyz")[0] == 200
    except OSError:
        return False


def image_id(record: Record) -> str:
    assert record.key is not None
    return record.key.decode()


def check_outcomes(crowd: Crowd) -> int:
    """One outcome for each record of the log, and none of what is not in it twice; the number of records.

    A client that lost its brokers may have sent what it does not know of.
    """
    results = Results.read(crowd.broker, crowd.settings.topics)
    outcomes = Counter(body(record)["image_id"] for record in results.moderated)
    outcomes.update(image_id(record) for record in results.dead)
    uploads = [r for r in crowd.broker.read(crowd.settings.topics.uploaded) if not is_deletion(r)]
    in_log = Counter(image_id(record) for record in uploads)
    sent = {image_id(record) for record in crowd.sent if not is_deletion(record)}
    assert sent <= in_log.keys() | crowd.gone, "the log has lost records by itself"
    due = in_log + crowd.again
    wrong = {name: (outcomes[name], count) for name, count in due.items() if outcomes[name] != count}
    assert not wrong, f"outcomes, and how many there should be: {wrong}"
    foreign = outcomes.keys() - due.keys()
    assert foreign <= crowd.gone
    assert all(outcomes[name] == 1 for name in foreign)
    return sum(in_log.values())


def is_deletion(record: Record) -> bool:
    return record.value is not None and b'"listing.image.deleted.v1"' in record.value


def check_index(crowd: Crowd) -> int:
    """The index holds what the log says, by the last record of each image, and nothing else."""
    crowd.wait(crowd.indexed, "all acknowledged", 60)
    last = {image_id(record): record.value for record in crowd.broker.read(crowd.settings.topics.embedded)}
    held = {name for name, value in last.items() if value is not None}
    status, told = http_json(f"{crowd.index.url}/index")
    assert (status, told["vectors"]) == (200, len(held))
    for name in last:
        status, _ = http_json(f"{crowd.index.url}/search", {"image_id": name, "k": 1})
        assert status == (200 if name in held else 404), name
    return len(held)


def figures(crowd: Crowd, name: str, records: int, held: int) -> str:
    """A line of JSON for the notes."""
    return json.dumps(
        {
            "disturbance": name,
            "group protocol": crowd.settings.kafka.consumer.get("group.protocol", "classic"),
            "uploads": records,
            "outcomes each": 1,
            "judged again as asked": crowd.again.total(),
            "taken from the log": len(crowd.gone),
            "images in the index": held,
            "moving again after seconds": [round(seconds, 1) for seconds in crowd.moved],
            "processes that ended": crowd.ends,
        }
    )
