"""Several Kafka nodes in one cluster, each broker and controller, that a test stops, kills and freezes."""

from pathlib import Path

from tests.kafka.server import KafkaServer, free_ports


class Node(KafkaServer):
    """One of several nodes: `voters` are the controllers of all, by number."""

    def __init__(self, home: Path, number: int, cluster: str, voters: dict[int, int]) -> None:
        self._number, self._voters, self._cluster_id = number, voters, cluster
        super().__init__(home)

    def _cluster(self) -> str:
        return self._cluster_id

    def _configuration(self) -> str:
        own = {
            "node.id": self._number,
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in self._voters.items()
            ),
            "listeners": f"BROKER://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._voters[self._number]}",
            "default.replication.factor": len(self._voters),
            "offsets.topic.replication.factor": len(self._voters),
            "transaction.state.log.replication.factor": len(self._voters),
            "transaction.state.log.min.isr": 2,
        }
        return super()._configuration() + "".join(f"{key}={value}\n" for key, value in own.items())


class Nodes:
    """`count` nodes under `home`, an empty folder. Not started on construction."""

    def __init__(self, home: Path, count: int = 3) -> None:
        cluster = KafkaServer.new_cluster()
        voters = dict(enumerate(free_ports(count), 1))
        self.nodes = []
        for number in voters:
            folder = home / str(number)
            folder.mkdir()
            self.nodes.append(Node(folder, number, cluster, voters))

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start all, side by side: a controller is there once most are."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_listening()

    def stop(self) -> None:
        """End all, without waiting for what they would do in order."""
        for node in self.nodes:
            node.kill()
