"""The embedded Kafka broker: librdkafka's mock cluster, in a process of its own.

`python -m worker.demo.broker TOPIC...` makes the topics (4 partitions each), prints
`bootstrap.servers`, and ends when its standard input closes, which the kernel sees to when the
process that started it dies.

It keeps records in memory, at most 5 MB of each partition, and knows neither compaction nor
committed transactional offsets: with it, delivery is `at_least_once`.
"""

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from worker.errors import BrokerError

_START_SECONDS = 20.0
_REQUEST_SECONDS = 10.0


class EmbeddedBroker:
    """A running broker with `topics`; use as a context manager. `bootstrap_servers` is where it listens.

    Raises:
        BrokerError: it does not start.

    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worker.demo.broker", *topics],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the process that started it
        )
        try:
            self.bootstrap_servers = self._first_line()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The id of the broker's process."""
        return self._process.pid

    def close(self) -> None:
        """End the broker; its records are gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
        line = self._process.stdout.readline().decode().strip() if ready else ""
        if not line:
            raise BrokerError(f"the embedded broker did not start within {_START_SECONDS:g} s")
        return line


def serve(topics: Sequence[str]) -> None:
    """Be the broker until standard input closes."""
    cluster = Producer({"test.mock.num.brokers": 1, "log_level": "3"})
    metadata = cluster.list_topics(timeout=_REQUEST_SECONDS)
    for topic in topics:
        cluster.list_topics(topic, timeout=_REQUEST_SECONDS)  # a producer's asking makes it
    servers = ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    os.write(sys.stdout.fileno(), f"{servers}\n".encode())
    while os.read(sys.stdin.fileno(), 4096):
        pass


if __name__ == "__main__":
    serve(sys.argv[1:])
