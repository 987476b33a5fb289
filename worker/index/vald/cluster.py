"""What a Vald cluster is asked: to keep objects, to make them searchable, and what is near.

Its API is https://vald.vdaas.org/docs/api/. What this client counts with, as of Vald 1.7:

- An object is found once its agent has run CreateIndex, and a removed one until then.
- An agent answers no search while it runs that; a gateway then leaves it out without a word.
- A gateway answers a write that no agent took (of another dimension) with OK and an empty location.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from vald.v1.agent.core import agent_pb2_grpc
from vald.v1.payload import payload_pb2
from vald.v1.vald import index_pb2_grpc, insert_pb2_grpc, object_pb2_grpc, remove_pb2_grpc, search_pb2_grpc

from worker.errors import IndexUnavailable
from worker.index.vald.calls import Calls, Patience, open_channel
from worker.index.vald.images import Object
from worker.metrics import Metrics
from worker.settings import ValdSettings

# Of unit vectors these put first what the cosine distance does; the distance itself is told from our own.
DISTANCES = ("L2", "NormalizedL2", "Cosine", "NormalizedCosine", "Angle", "NormalizedAngle")

_EPSILON = 0.1  # how far beyond the k-th distance the graph search goes on, as a share of it
_NO_RADIUS = -1.0
_CHUNK = 256  # objects of one stream
_NOTHING_FOUND = (grpc.StatusCode.NOT_FOUND,)


@dataclass(frozen=True)
class ClusterState:
    """What the agents say: copies of objects that are searchable, and changes that are not yet.

    `indexing` of them run CreateIndex; each object is written to `replica` of them.
    """

    stored: int
    uncommitted: int
    indexing: int
    replica: int

    @property
    def is_settled(self) -> bool:
        """Whether all that was written is searchable."""
        return self.uncommitted == 0 and self.indexing == 0


class Cluster:
    """A client, for any thread. Owns its connections.

    Every call raises IndexUnavailable where the cluster does not answer for `vald.timeout` in searches and
    `vald.retry_for` in all else, and ConfigurationError where it never will.
    """

    def __init__(self, settings: ValdSettings, metrics: Metrics) -> None:
        assert settings.address is not None
        self._settings = settings
        addresses = (settings.address, *settings.agents)
        self._channels = [open_channel(address, settings.ca_file) for address in addresses]
        door, *agents = self._channels
        self._searches = search_pb2_grpc.SearchStub(door)
        self._inserts = insert_pb2_grpc.InsertStub(door)
        self._removes = remove_pb2_grpc.RemoveStub(door)
        self._objects = object_pb2_grpc.ObjectStub(door)
        self._index = index_pb2_grpc.IndexStub(door)
        self._agents = [agent_pb2_grpc.AgentStub(channel) for channel in agents]
        self._calls = Calls(settings.address, settings.timeout, metrics)
        self._builds = 0  # odd while one of ours runs
        self._replica = 1

    def search(self, queries: NDArray[np.float32], size: int, seconds: float) -> list[list[str]]:
        """For each of `queries` (float32 [n, dim], unit norm) the names of about the `size` nearest objects.

        Approximate. All are asked side by side, and again for `seconds` while agents are left out.
        """
        patience = Patience(seconds)
        while True:
            builds = self._builds
            found = self._search_all(queries, size, patience)
            if self._was_whole(builds, patience) or not patience.pause():
                return found

    def insert(self, objects: Sequence[Object]) -> int:
        """Write `objects`, which may be there already; gives how many copies are new."""
        asked = {each.name: _insertion(each) for each in objects}
        return self._stream("insert", self._inserts.StreamInsert, asked, grpc.StatusCode.ALREADY_EXISTS)

    def remove(self, names: Sequence[str]) -> int:
        """Remove objects, which may be gone already; gives how many copies there were."""
        asked = {name: payload_pb2.Remove.Request(id=payload_pb2.Object.ID(id=name)) for name in names}
        return self._stream("remove", self._removes.StreamRemove, asked, grpc.StatusCode.NOT_FOUND)

    def missing(self, names: Sequence[str]) -> int:
        """How many of the objects `names` no agent has."""
        asked = [payload_pb2.Object.ID(id=name) for name in names]
        patience = Patience(self._settings.retry_for)
        answers = self._calls.call_all("state", self._objects.Exists, asked, patience, _NOTHING_FOUND)
        return answers.count(None)

    def make_searchable(self) -> ClusterState:
        """Wait until all that was written is found by searches; agents that are named are told to begin.

        One after another: an object with a replica is found meanwhile.

        Raises:
            IndexUnavailable: it is not so after `vald.build_timeout`.

        """
        patience = Patience(self._settings.build_timeout)
        self._builds += 1
        try:
            while True:
                for agent in self._agents:  # one that is away has nothing that is waited for
                    request, seconds = payload_pb2.Control.CreateIndexRequest(), patience.left()
                    self._calls.try_once("build", agent.CreateIndex, request, seconds)
                state = self.state()
                if state.is_settled:
                    return state
                if not patience.pause():
                    raise IndexUnavailable(
                        f"{self._calls.address}: {state.uncommitted} changes are not searchable after "
                        f"{self._settings.build_timeout:g} s (index.vald.build_timeout). If its agents "
                        "create no index by themselves, name them in index.vald.agents"
                    )
        finally:
            self._builds += 1

    def state(self) -> ClusterState:
        """What the agents say now."""
        return self._state(Patience(self._settings.retry_for))

    def properties(self) -> dict[str, tuple[int, str]]:
        """Agent -> the dimension of its vectors, and its kind of distance as NGT calls it."""
        patience = Patience(self._settings.timeout)
        answer = self._calls.call("state", self._index.IndexProperty, payload_pb2.Empty(), patience)
        return {name: (each.dimension, each.distance_type) for name, each in answer.details.items()}

    def close(self) -> None:
        """Let go of the connections."""
        for channel in self._channels:
            channel.close()

    def _search_all(self, queries: NDArray[np.float32], size: int, patience: Patience) -> list[list[str]]:
        config = payload_pb2.Search.Config(
            num=size, radius=_NO_RADIUS, epsilon=_EPSILON, timeout=int(self._settings.timeout * 1e9)
        )
        asked = [payload_pb2.Search.Request(vector=query.tolist(), config=config) for query in queries]
        answers = self._calls.call_all("search", self._searches.Search, asked, patience, _NOTHING_FOUND)
        return [[] if answer is None else [each.id for each in answer.results] for answer in answers]

    def _was_whole(self, builds: int, patience: Patience) -> bool:
        """Whether a search that began at `builds` had every object before it: no agent was left out."""
        if not self._agents:
            state = self._state(patience)
            return state.indexing < state.replica
        return self._replica > 1 or (builds % 2 == 0 and builds == self._builds)

    def _state(self, patience: Patience) -> ClusterState:
        answer = self._calls.call("state", self._index.IndexDetail, payload_pb2.Empty(), patience)
        self._replica = max(1, answer.replica)
        counts = answer.counts.values()
        return ClusterState(
            stored=sum(each.stored for each in counts),
            uncommitted=sum(each.uncommitted for each in counts),
            indexing=sum(each.indexing for each in counts),
            replica=self._replica,
        )

    def _stream(
        self, kind: str, method: Callable[..., Any], asked: Mapping[str, Any], fine: grpc.StatusCode
    ) -> int:
        """Send `asked`, by name, until each is confirmed or answered with `fine`. Gives how many copies."""
        names, copies = list(asked), 0
        for first in range(0, len(names), _CHUNK):
            left = {name: asked[name] for name in names[first : first + _CHUNK]}
            patience = Patience(self._settings.retry_for)
            while left:
                copies += self._send(kind, method, left, fine.value[0], patience)
        return copies

    def _send(
        self,
        kind: str,
        method: Callable[..., Any],
        left: dict[str, Any],
        fine: int,
        patience: Patience,
    ) -> int:
        """Send all of `left` once and take out what need not be sent again. Gives how many copies."""
        began, copies, expected, why = time.perf_counter(), 0, 0, "it names none of them"
        try:
            for answer in method(iter(list(left.values())), timeout=patience.left(self._settings.timeout)):
                location, status = answer.location, answer.status
                if location.ips and left.pop(location.uuid, None) is not None:
                    copies += len(location.ips)
                elif answer.HasField("status"):
                    expected += status.code == fine
                    why = why if status.code == fine else status.message
        except grpc.RpcError as error:
            self._calls.after(kind, error, patience, began)
            return copies
        if len(left) <= expected:  # which of them is which is not told
            left.clear()
            self._calls.count(kind, "ok", began)
        else:
            self._calls.count(kind, "failed", began)
            reason = patience.reason(
                f"{self._calls.address} does not take {len(left) - expected} objects ({kind}): {why}. "
                "`mekiki check` tells whether its dimension is that of the bundle's embedding"
            )
            if not patience.pause():
                raise IndexUnavailable(reason)
        return copies


def _insertion(each: Object) -> Any:
    vector = payload_pb2.Object.Vector(id=each.name, vector=each.vector.tolist())
    return payload_pb2.Insert.Request(vector=vector)
