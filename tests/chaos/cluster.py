"""Worker processes and a broker that are disturbed while they work."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException

from tests.guarded_worker import GuardedWorker
from tests.kafka.client import Broker, wait_until
from tests.kafka.server import KafkaServer
from tests.workplace import make_settings
from worker.settings import Settings

DISTURBANCES = (
    *("kill -9 of a worker",) * 4,
    *("kill -9 of the index role",) * 3,
    *("a third worker joins and leaves",) * 2,
    "kill -9 of the broker",
    "restart of the broker",
)


class Cluster:
    """Two score workers and one index role on one broker. `stop` ends every process.

    A process that ends by itself, as it may after a broker's failure, is started again, as a cluster's
    supervisor would; `unasked_ends` counts these.
    """

    def __init__(self, home: Path, server: KafkaServer, delivery: str) -> None:
        self._home = home
        self._server = server
        self.broker = Broker(server.bootstrap)
        self.settings = _settings(server.bootstrap, home, delivery)
        self.disturbed: Counter[str] = Counter()
        self.unasked_ends: list[str] = []
        self._started = 0
        self._victim = 0
        self._workers: dict[str, GuardedWorker] = {}
        self._all: list[GuardedWorker] = []

    def start(self) -> None:
        """Start what belongs to the cluster."""
        for name in ("score-1", "score-2", "index"):
            self._start(name)

    def stop(self) -> None:
        """End every process that this cluster started."""
        for worker in self._workers.values():
            worker.terminate(30)
        for worker in self._all:
            worker.kill()

    def disturb(self, kind: str) -> None:
        """Do one of DISTURBANCES."""
        self.supervise()
        if kind == "kill -9 of a worker":
            self._victim += 1
            self._kill(f"score-{self._victim % 2 + 1}")
        elif kind == "kill -9 of the index role":
            self._kill("index")
        elif kind == "a third worker joins and leaves":
            self._join_and_leave()
        else:
            (self._server.kill if kind == "kill -9 of the broker" else self._server.stop)()
            self._server.start()
        self.disturbed[kind] += 1

    def supervise(self) -> None:
        """Start again what ended by itself."""
        for name, worker in list(self._workers.items()):
            if worker.returncode is not None:
                self.unasked_ends.append(
                    f"{name} ended with {worker.returncode}: {worker.tail(3, without='Connection refused')}"
                )
                self._start(name)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait, supervising."""

        def supervised() -> bool:
            self.supervise()
            try:
                return condition()
            except KafkaException:  # our own clients find a broker that has just come back slowly too
                return False

        try:
            wait_until(supervised, what, timeout, pause=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def committed(self) -> int:
        """Input offsets committed, over all partitions."""
        return sum(self.broker.committed(self.settings.kafka.group, self.settings.topics.uploaded).values())

    def index_committed(self) -> dict[int, int]:
        """Offsets of the embedded topic that are acknowledged."""
        group = f"mekiki-index-{self.settings.index.name}"
        return self.broker.committed(group, self.settings.topics.embedded)

    @property
    def index_url(self) -> str:
        return self._workers["index"].url

    def refused(self) -> list[str]:
        """Every forbidden connection that any process tried."""
        return [address for worker in self._all for address in worker.refused()]

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        return "\n".join(
            f"--- {name}\n{worker.tail(15, without='Connection refused')}"
            for name, worker in self._workers.items()
        )

    def _start(self, name: str) -> None:
        self._started += 1
        role = name.partition("-")[0]
        # Stable over restarts, so that a dead worker's open transaction ends at once.
        kafka = self.settings.kafka.model_copy(
            update={"transactional_id": f"{self.settings.kafka.group}-{name}"}
        )
        settings = self.settings.model_copy(update={"kafka": kafka})
        log = self._home / f"{name}-{self._started}.log"
        self._workers[name] = GuardedWorker([role], settings, log)
        self._all.append(self._workers[name])

    def _kill(self, name: str) -> None:
        self._workers[name].kill()
        self._start(name)

    def _join_and_leave(self) -> None:
        group = self.settings.kafka.group
        self._start("score-3")
        self.wait_until(lambda: self.broker.members(group) >= 3, "a third member of the group", 60)
        time.sleep(1)
        third = self._workers.pop("score-3")
        assert third.terminate(40) == 0, third.tail()


def _settings(bootstrap: str, home: Path, delivery: str) -> Settings:
    folder = home / "workplace"
    folder.mkdir()
    settings = make_settings(bootstrap, folder, partitions=4)
    return settings.model_copy(
        update={
            "score": settings.score.model_copy(update={"delivery": delivery, "max_in_flight": 64}),
            "index": settings.index.model_copy(update={"snapshot_records": 300}),
            "kafka": settings.kafka.model_copy(update={"request_timeout": 60.0}),
        }
    )
