"""A real Vald agent keeps to the contract of a backend."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry
from vald.v1.payload import payload_pb2
from vald.v1.vald import flush_pb2_grpc

from tests.unit.index.backend_contract import BackendContract
from tests.unit.index.indexing import DIM
from tests.unit.index.vald.stand_in import open_index
from tests.vald.servers import Server, agent
from worker.index.backend import IndexBackend
from worker.index.vald import stored
from worker.index.vald.cluster import Cluster
from worker.metrics import Metrics
from worker.settings import ValdSettings


@pytest.fixture(scope="module")
def one_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with agent(tmp_path_factory.mktemp("agent"), DIM) as server:
        yield server


def empty(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        flush_pb2_grpc.FlushStub(channel).Flush(payload_pb2.Flush.Request(), timeout=30)


class TestAgent(BackendContract):
    """Also where so few vectors would be compared whole."""

    @pytest.fixture(autouse=True)
    def cluster(self, one_agent: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(stored, "_WIDEST", 1.0)
        empty(one_agent)
        settings = ValdSettings(address=one_agent.address, agents=[one_agent.address], retry_for=20)
        self.cluster = Cluster(settings, Metrics(CollectorRegistry()))
        yield
        self.cluster.close()

    def open(self, place: Path) -> IndexBackend:
        return open_index(place, self.cluster)
