"""What happens to clusters, one disturbance a test, while uploads arrive: one outcome each, and no person.

Every worker must move again within a minute of the disturbance's end, on three brokers. `make test-chaos`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from tests import events, images
from tests.guarded_worker import GuardedWorker
from tests.integration.running import http_json
from tests.kafka.client import Broker, Record
from tests.kafka.nodes import Nodes
from tests.results import Results, places
from tests.workplace import make_settings
from worker.settings import Settings
from worker.stream.topics import create_topics

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

MOVING_SECONDS = 60
WORKERS = 3


class Crowd:
    """Three workers under a supervisor, on topics of their own; uploads are sent a few at a time."""

    def __init__(self, nodes: Nodes, home: Path, settings: Settings) -> None:
        self.nodes, self.settings = nodes, settings
        self.broker = Broker(nodes.bootstrap)
        self.sent: list[Record] = []
        self.ends: list[str] = []
        self._home = home
        self._image = images.encoded(images.photo(1, 64, 64))
        self.workers = [self._start(number) for number in range(WORKERS)]

    def send(self, count: int) -> None:
        first = len(self.sent)
        records = [events.uploaded_bytes(f"image-{first + n}", self._image) for n in range(count)]
        self.sent += self.broker.send(self.settings.topics.uploaded, records)

    def during(self, seconds: float, count: int = 10) -> None:
        """Send some uploads each second, and start again what ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervise()
            with suppress(AssertionError, KafkaException):  # the brokers are away
                self.send(count)
            time.sleep(1)

    def supervise(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.returncode is not None:
                self.ends.append(f"{worker.returncode}: {worker.tail(3, without='librdkafka')}")
                self.workers[number] = self._start(number)

    def all_moving(self) -> bool:
        """Whether each worker is ready: assigned, and outcomes are committed."""
        return all(is_ready(worker.url) for worker in self.workers)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self.supervise()
            try:
                if condition():
                    return
            except KafkaException:
                pass
            logs = "\n---\n".join(worker.tail(12, without="librdkafka") for worker in self.workers)
            assert time.monotonic() < deadline, f"not {what} within {timeout:g} s\n{self.ends}\n{logs}"
            time.sleep(0.3)

    def done(self) -> bool:
        committed = self.broker.committed(self.settings.kafka.group, self.settings.topics.uploaded)
        last = Counter({record.partition: 0 for record in self.sent})
        for record in self.sent:
            last[record.partition] = max(last[record.partition], record.offset)
        return all(committed[partition] > offset for partition, offset in last.items())

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()

    def _start(self, number: int) -> GuardedWorker:
        kafka = self.settings.kafka.model_copy(
            update={"transactional_id": f"{self.settings.kafka.group}-{number}"}
        )
        log = self._home / f"{number}-{len(self.ends)}.log"
        return GuardedWorker(["score"], self.settings.model_copy(update={"kafka": kafka}), log)


def is_ready(url: str) -> bool:
    try:
        return http_json(f"{url}/readyz")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def crowd(request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path) -> Iterator[Crowd]:
    home = tmp_path / "workplace"
    home.mkdir()
    settings = make_settings(nodes.bootstrap, home, partitions=4)
    if consumer := getattr(request, "param", None):
        settings = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"consumer": consumer})}
        )
    create_topics(settings)
    crowd = Crowd(nodes, tmp_path, settings)
    try:
        crowd.wait(crowd.all_moving, "moving at first", 90)
        yield crowd
    finally:
        crowd.stop()


def freeze_a_broker(crowd: Crowd) -> None:
    node = crowd.nodes.nodes[1]
    node.freeze()
    crowd.during(40)
    node.thaw()


def restart_brokers_one_by_one(crowd: Crowd) -> None:
    for node in crowd.nodes.nodes:
        node.stop()
        crowd.during(5)
        node.start()
        crowd.during(8)


def take_all_brokers_away(crowd: Crowd) -> None:
    crowd.nodes.stop()
    end = time.monotonic() + 90
    while time.monotonic() < end:
        crowd.supervise()
        time.sleep(1)
    crowd.nodes.start()


def stop_a_worker_for_a_minute(crowd: Crowd) -> None:
    worker = crowd.workers[1]
    worker.freeze()
    crowd.during(60)
    worker.thaw()


def add_partitions(crowd: Crowd) -> None:
    crowd.broker.add_partitions(crowd.settings.topics.reviews, 8)
    crowd.broker.add_partitions(crowd.settings.topics.uploaded, 8)
    crowd.during(15)


def kill_workers_at_random(crowd: Crowd) -> None:
    for number in range(12):
        crowd.during(2 + number % 3)
        crowd.workers[number % WORKERS].kill()


DISTURBANCES = {
    function.__name__: function
    for function in (
        freeze_a_broker,
        restart_brokers_one_by_one,
        take_all_brokers_away,
        stop_a_worker_for_a_minute,
        add_partitions,
        kill_workers_at_random,
    )
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_upload_has_one_outcome_and_every_worker_moves_again(crowd: Crowd, name: str) -> None:
    check(crowd, DISTURBANCES[name])


@pytest.mark.parametrize("crowd", [{"group.protocol": "consumer"}], indirect=True)
@pytest.mark.parametrize("name", ["kill_workers_at_random", "restart_brokers_one_by_one"])
def test_groups_of_the_new_protocol_too(crowd: Crowd, name: str) -> None:
    """KIP-848: the broker assigns, and its own session time-out (45 s) says who is gone."""
    check(crowd, DISTURBANCES[name])


def check(crowd: Crowd, disturb: Callable[[Crowd], None]) -> None:
    crowd.during(5, 30)
    disturb(crowd)
    crowd.wait(crowd.all_moving, "moving again", MOVING_SECONDS)
    crowd.during(3, 20)
    crowd.wait(crowd.done, "done", 120)
    results = Results.read(crowd.broker, crowd.settings.topics)
    # A client that lost its brokers may have sent what it does not know of: nothing else is forgiven.
    in_log = crowd.broker.read(crowd.settings.topics.uploaded)
    assert places(crowd.sent) <= places(in_log)
    assert results.outcomes() == dict.fromkeys(places(in_log), 1)
    assert results.dead == [], "nothing is blamed on an event"
    print(f"\n{disturb.__name__}: {len(in_log)} uploads, one outcome each; ends: {crowd.ends}")
