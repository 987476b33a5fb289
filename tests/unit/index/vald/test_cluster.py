"""The odd answers of agents and gateways, by a server of them on loopback. tests/vald has the real ones."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from vald.v1.agent.core import agent_pb2_grpc
from vald.v1.payload import payload_pb2
from vald.v1.vald import index_pb2_grpc, insert_pb2_grpc, search_pb2_grpc

from tests.unit.index.indexing import axis
from worker.errors import IndexUnavailable
from worker.index.vald.cluster import Cluster
from worker.index.vald.images import Object
from worker.metrics import Metrics
from worker.settings import ValdSettings

LOCATION = payload_pb2.Object.Location
Answer = payload_pb2.Object.StreamLocation


class Odd(
    insert_pb2_grpc.InsertServicer,
    search_pb2_grpc.SearchServicer,
    index_pb2_grpc.IndexServicer,
    agent_pb2_grpc.AgentServicer,
):
    """Answers inserts by `inserted(request)`, searches with `found`; `indexing` agents index."""

    def __init__(self):
        self.inserted = lambda request: Answer(location=LOCATION(uuid=request.vector.id, ips=["a", "b"]))
        self.found, self.indexing, self.asked, self.uncommitted = ["x"], [], 0, 0

    def StreamInsert(self, requests, context):  # noqa: N802 - gRPC's
        for request in requests:
            self.asked += 1
            yield self.inserted(request)

    def Search(self, request, context):  # noqa: N802
        self.asked += 1
        if not self.found:
            context.abort(grpc.StatusCode.NOT_FOUND, "error search result length is 0")
        return payload_pb2.Search.Response(results=[payload_pb2.Object.Distance(id=n) for n in self.found])

    def IndexDetail(self, request, context):  # noqa: N802
        indexing = self.indexing.pop() if self.indexing else 0
        counts = {
            f"agent{n}": payload_pb2.Info.Index.Count(
                stored=4, indexing=n < indexing, uncommitted=self.uncommitted
            )
            for n in (0, 1)
        }
        return payload_pb2.Info.Index.Detail(counts=counts, replica=2, live_agents=2)

    def CreateIndex(self, request, context):  # noqa: N802
        self.uncommitted = 0
        return payload_pb2.Empty()


@pytest.fixture(scope="module")
def server():
    odd = Odd()
    server = grpc.server(ThreadPoolExecutor(4))
    insert_pb2_grpc.add_InsertServicer_to_server(odd, server)
    search_pb2_grpc.add_SearchServicer_to_server(odd, server)
    index_pb2_grpc.add_IndexServicer_to_server(odd, server)
    agent_pb2_grpc.add_AgentServicer_to_server(odd, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield odd, f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.fixture
def odd(server):
    server[0].__init__()
    return server[0]


@pytest.fixture
def cluster(server):
    settings = ValdSettings(address=server[1], timeout=20, retry_for=1.0)
    cluster = Cluster(settings, Metrics(CollectorRegistry()))
    cluster.state()  # connected
    yield cluster
    cluster.close()


def objects(*names):
    return [Object(name, axis(number)) for number, name in enumerate(names)]


def test_copies_are_counted_and_what_is_there_already_is_fine(odd, cluster):
    there = Answer()
    there.status.code = grpc.StatusCode.ALREADY_EXISTS.value[0]
    whole = odd.inserted
    odd.inserted = lambda request: there if request.vector.id == "b" else whole(request)
    assert cluster.insert(objects("a", "b", "c")) == 4
    assert odd.asked == 3


def test_an_empty_location_is_no_confirmation(odd, cluster):
    """A gateway says so where no agent took the vector, since its dimension is another."""
    odd.inserted = lambda request: Answer(location=LOCATION())
    with pytest.raises(IndexUnavailable, match=r"does not take 1 objects \(insert\).*dimension"):
        cluster.insert(objects("a"))


def test_a_repeat_that_comes_late_does_not_hide_why_the_first_failed(odd, cluster):
    def inserted(request):
        time.sleep(0.0 if odd.asked == 1 else 1.5)  # longer than `retry_for`
        return Answer(location=LOCATION())

    odd.inserted = inserted
    with pytest.raises(IndexUnavailable, match=r"does not take 1 objects \(insert\).*dimension"):
        cluster.insert(objects("a"))


def test_what_failed_is_sent_again_alone(odd, cluster):
    failed = Answer()
    failed.status.code = grpc.StatusCode.ABORTED.value[0]
    whole, refused = odd.inserted, {"b"}

    def inserted(request):
        if request.vector.id in refused:
            refused.clear()
            return failed
        return whole(request)

    odd.inserted = inserted
    assert cluster.insert(objects("a", "b", "c")) == 6
    assert odd.asked == 4


def test_a_search_is_made_again_while_as_many_agents_index_as_hold_an_object(odd, cluster):
    odd.indexing = [1, 2]  # the last first
    assert cluster.search(axis(0)[None], 5, 20.0) == [["x"]]
    assert odd.asked == 2


def test_nothing_found_is_an_answer(odd, cluster):
    odd.found = []
    assert cluster.search(np.stack([axis(0), axis(1)]), 5, 20.0) == [[], []]


def test_the_state_adds_up_what_agents_say(odd, cluster):
    odd.indexing = [1]
    state = cluster.state()
    assert (state.stored, state.uncommitted, state.indexing, state.replica) == (8, 0, 1, 2)
    assert not state.is_settled


def test_an_agent_that_is_away_holds_up_no_index(odd, server):
    odd.uncommitted = 5
    settings = ValdSettings(address=server[1], agents=["127.0.0.1:1", server[1]], build_timeout=30)
    cluster = Cluster(settings, Metrics(CollectorRegistry()))
    assert cluster.make_searchable().is_settled
    cluster.close()


def test_what_nobody_indexes_is_told(odd, server):
    odd.uncommitted = 5
    cluster = Cluster(ValdSettings(address=server[1], build_timeout=0.1), Metrics(CollectorRegistry()))
    with pytest.raises(IndexUnavailable, match=r"10 changes.*index\.vald\.agents"):
        cluster.make_searchable()
    cluster.close()
