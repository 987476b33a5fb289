"""A real Apache Kafka for tests: one KRaft node on free loopback ports, from jars that Maven fetches once.

The jars lie in `$XDG_CACHE_HOME/mekiki/kafka-<version>` (`~/.cache` by default), so that a second run
starts at once. Run as a program it serves until interrupted: `python -m tests.kafka.server`.
"""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.processes import Process

POM = Path(__file__).with_name("pom.xml")

# A node that starts soon and takes little memory, for tests.
STARTS_SOON = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# One that serves: what Kafka's own kafka-server-start.sh and kafka-run-class.sh give the JVM.
SERVES = (
    "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
)  # fmt: skip

HOW_TO_GET_ONE = (
    "These tests need a real Apache Kafka. Either install a JDK (17 or later) and Maven, such as Debian's "
    "packages openjdk-17-jre-headless and maven, or start a Kafka 4 yourself and name it: "
    "KAFKA_BOOTSTRAP_SERVERS=host:9092 make test"
)


class KafkaUnavailable(Exception):
    """No Kafka can be started here; the message says how to get one."""


def kafka_version() -> str:
    """The version that pom.xml names."""
    found = re.search(r"<kafka.version>([^<]+)<", POM.read_text(encoding="utf-8"))
    assert found, f"{POM} names no kafka.version"
    return found[1]


def jars() -> Path:
    """The folder that holds Kafka's jars, fetched with Maven on first use.

    Raises:
        KafkaUnavailable: there is no java or mvn, or Maven cannot reach its registry.

    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaUnavailable(f"There is no {program} on the path. {HOW_TO_GET_ONE}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mekiki"
    target = cache / f"kafka-{kafka_version()}"
    if not target.is_dir():
        _fetch(target)
    return target


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside the target and renamed: a run that is killed, or a second one, leaves no half of it.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kafka-") as scratch:
        fresh = Path(scratch, "jars")
        # Maven writes beside the pom that it reads: it gets a copy.
        shutil.copy(POM, scratch)
        done = subprocess.run(
            ["mvn", "-B", "-q", "-f", f"{scratch}/pom.xml", "dependency:copy-dependencies",
             f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise KafkaUnavailable(
                f"Maven cannot fetch Kafka's jars: {done.stdout[-2000:]}\n{HOW_TO_GET_ONE}"
            )
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():  # else another run was first
                raise


def free_ports(count: int) -> list[int]:
    """Free TCP ports of 127.0.0.1, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class KafkaServer:
    """One node, broker and controller in one; its data and its port stay through `kill` and `start`.

    `home` is an empty folder of its own; `options` are those of its JVM. Not started on construction.

    Raises:
        KafkaUnavailable: see `jars`.

    """

    def __init__(self, home: Path, options: Sequence[str] = STARTS_SOON) -> None:
        self._jars = jars()
        self._options = options
        self._home = home
        self._port, self._controller_port = free_ports(2)
        self._process: Process | None = None
        self._properties = home / "server.properties"
        self._properties.write_text(self._configuration(), encoding="utf-8")
        self._format()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, timeout: float = 60) -> None:
        """Start the node and wait until it listens."""
        self.launch()
        self.wait_until_listening(timeout)

    def launch(self) -> None:
        """Start the node."""
        assert self._process is None, "already started"
        self._process = Process(
            self._java(self._options, "kafka.Kafka", str(self._properties)), self._home / "server.log"
        )

    def wait_until_listening(self, timeout: float = 60) -> None:
        """Wait until clients can connect."""
        assert self._process is not None, "not started"
        self._process.wait_until(self._listens, f"listening on {self.bootstrap}", timeout)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, its connections stay open."""
        assert self._process is not None, "not started"
        self._process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None, "not started"
        self._process.thaw()

    def stop(self, timeout: float = 60) -> None:
        """An orderly end."""
        if self._process is not None:
            self._process.terminate(timeout)
            self._process = None

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def tail(self) -> str:
        """The end of the node's log."""
        return "" if self._process is None else self._process.tail()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 0.5).close()
        except OSError:
            return False
        return True

    @staticmethod
    def new_cluster() -> str:
        """An id for a cluster."""
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _cluster(self) -> str:
        return self.new_cluster()

    def _format(self) -> None:
        subprocess.run(
            self._java(STARTS_SOON, "kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster()}",
                       "--config", str(self._properties)),
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def _java(self, options: Sequence[str], main: str, *arguments: str) -> Sequence[str]:
        return [
            "java", *options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self._jars}/*", main,
            *arguments,
        ]  # fmt: skip

    def _configuration(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"BROKER://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "log.dirs": self._home / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": 10_000_000,
            # One node, and a start that takes seconds.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            # After kill -9 the controller lets the node in again once its old session has ended.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # Killed members and their transactions are noticed within a test's patience.
            "group.min.session.timeout.ms": 1000,
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            # What is past its retention goes within seconds, not minutes.
            "log.retention.check.interval.ms": 1000,
            "log.segment.delete.delay.ms": 500,
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def main() -> None:
    """Serve until interrupted."""
    with tempfile.TemporaryDirectory(prefix="mekiki-kafka-") as home:
        server = KafkaServer(Path(home))
        server.start()
        print(f"bootstrap={server.bootstrap} pid={server.pid}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            server.stop()


if __name__ == "__main__":
    main()
