"""Agents that are killed under load: whatever was acknowledged is found again after they are back.

`make test-vald` runs it. MEKIKI_VECTORS: how many are written, 20,000 where nothing else is said.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.unit.index.indexing import IDENTITY
from tests.vald.servers import Discoverer, Server, agent, free_port, gateway
from worker.errors import ConfigurationError, IndexUnavailable
from worker.index.backend import Change, IndexIdentity
from worker.index.vald.cluster import Cluster
from worker.index.vald.index import ValdIndex, look_at_cluster, open_vald_index
from worker.metrics import Metrics
from worker.settings import IndexSettings, ValdSettings

COUNT = int(os.environ.get("MEKIKI_VECTORS", "20000"))
DIM = 128
IDENTITY_128 = IndexIdentity(space=IDENTITY.space, dim=DIM, topic=IDENTITY.topic)
_POLL = 200
_KILLED_AFTER = 0.4  # of the load
FOUND = 0.995  # by a graph that is approximate


def drawn(count: int) -> np.ndarray:
    """Vectors around 200 centres, as photos of listings are: float32 [count, DIM], unit norm."""
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(200, DIM))
    rows = centres[generator.integers(0, 200, count)] + 0.7 * generator.normal(size=(count, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


@contextmanager
def opened(place: Path, agents: list[Server], door: Server, **vald: float) -> Iterator[ValdIndex]:
    settings = IndexSettings.model_validate(
        {
            "backend": "vald",
            "directory": place,
            "snapshot_records": 2000,
            "snapshot_interval": 1,
            "vald": {
                "address": door.address,
                "agents": [each.address for each in agents],
                "timeout": 5,
                "retry_for": 60,
                **vald,
            },
        }
    )
    with closing(open_vald_index(settings, IDENTITY_128, Metrics(CollectorRegistry()))) as index:
        yield index


def write(index: ValdIndex, rows: np.ndarray, meanwhile: Callable[[int], None] = lambda _: None) -> float:
    """Acknowledge every row as the role does, poll by poll; gives vectors a second."""
    began = time.monotonic()
    for first in range(0, len(rows), _POLL):
        part = rows[first : first + _POLL]
        index.change_each([Change(f"i{first + n}", row) for n, row in enumerate(part)], 10, 0.01)
        index.advance(0, first + len(part))
        index.turn()
        meanwhile(first)
    return len(rows) / (time.monotonic() - began)


def turn_until(index: ValdIndex, done: Callable[[], bool], seconds: float = 120) -> float:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds
        index.turn()
        time.sleep(0.05)
    return time.monotonic() - began


def nearly(rows: np.ndarray) -> np.ndarray:
    """Queries that are nearly `rows`: the database does not know them, so that the cluster must answer."""
    turned = rows + np.random.default_rng(9).normal(size=rows.shape) * 1e-3
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


def share_found(index: ValdIndex, rows: np.ndarray, step: int = 1) -> float:
    """Of every `step`th image, those that what is nearly their vector finds."""
    queries = nearly(rows)
    hits = [index.search(queries[n], 1)[0].image_id == f"i{n}" for n in range(0, len(rows), step)]
    return sum(hits) / len(hits)


def is_whole(index: ValdIndex, door: Server, rows: np.ndarray) -> bool:
    """Whether all of `rows` are in the cluster and indexed, by its own word."""
    names = [index._images.name(row) for row in rows]
    with closing(Cluster(ValdSettings(address=door.address), Metrics(CollectorRegistry()))) as cluster:
        missing = [cluster.missing(names[first : first + 500]) for first in range(0, len(names), 500)]
        return not any(missing) and cluster.state().is_settled


def assert_whole(index: ValdIndex, door: Server, rows: np.ndarray) -> None:
    """All of `rows` are in the cluster, and are found."""
    assert is_whole(index, door, rows)
    assert index.size().vectors == len(rows)
    assert share_found(index, rows) >= FOUND
    assert all(index.search(row, 1)[0].image_id == f"i{n}" for n, row in enumerate(rows))


def recall(index: ValdIndex, rows: np.ndarray, queries: int = 200) -> float:
    """recall@10 against exact search."""
    hits = 0
    for query in drawn(len(rows) + queries)[-queries:]:
        exact = set(np.argsort(1 - rows @ query)[:10].tolist())
        hits += len(exact & {int(near.image_id[1:]) for near in index.search(query, 10)})
    return hits / (10 * queries)


def kill_and_return(server: Server) -> None:
    server.kill()
    time.sleep(2)
    server.start()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """A thread that lives as long as what it starts: processes of tests end with their thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Server]:
    with agent(tmp_path / "agent", DIM) as server:
        yield server


def test_an_agent_killed_under_load_gets_back_all_that_was_acknowledged(
    alone: Server, beside: ThreadPoolExecutor, tmp_path: Path
) -> None:
    rows, killed = drawn(COUNT), list[Future[None]]()

    def meanwhile(first: int) -> None:
        if first >= _KILLED_AFTER * COUNT and not killed:
            killed.append(beside.submit(kill_and_return, alone))

    with opened(tmp_path / "index", [alone], alone) as index:
        rate = write(index, rows, meanwhile)
        killed[0].result()
        took = turn_until(index, lambda: index.size().tail == 0)
        turn_until(index, lambda: is_whole(index, alone, rows))
        assert_whole(index, alone, rows)
        print(
            f"\n{COUNT} vectors of {DIM}, their agent killed among them: {rate:.0f}/s, all in the cluster "
            f"{took:.1f} s after the last, recall@10 {recall(index, rows):.4f}"
        )
    with opened(tmp_path / "index", [alone], alone) as again:
        assert again.offsets() == {0: COUNT}
        assert is_whole(again, alone, rows)
        assert share_found(again, rows, COUNT // 1000) >= FOUND - 0.005  # a thousand of them


def test_an_agent_that_loses_all_while_nothing_comes_is_filled_again(alone: Server, tmp_path: Path) -> None:
    rows = drawn(3000)
    with opened(tmp_path / "index", [alone], alone) as index:
        write(index, rows)
        turn_until(index, lambda: index.size().tail == 0)
        alone.kill()
        alone.start()
        turn_until(index, lambda: is_whole(index, alone, rows))
        assert_whole(index, alone, rows)


def test_searches_end_while_nobody_answers(alone: Server, tmp_path: Path) -> None:
    rows = drawn(2000)
    with opened(tmp_path / "index", [alone], alone, timeout=1, retry_for=2) as index:
        write(index, rows)
        turn_until(index, lambda: index.size().tail == 0)
        alone.kill()
        began = time.monotonic()
        with pytest.raises(IndexUnavailable, match="does not answer"):
            index.search(rows[0], 5)
        assert time.monotonic() - began < 2
        with pytest.raises(IndexUnavailable):
            index.change_each([Change("new", rows[1])], 10, 0.01)
        for _ in range(100):  # what is due fails, is told, and ends no loop
            index.turn()
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"dim": 64}, "has dimension 64"), ({"distance_type": "l1"}, "distance L1")],
)
def test_an_agent_that_does_not_fit_is_refused(tmp_path: Path, changed: dict, told: str) -> None:
    with agent(tmp_path / "agent", **{"dim": DIM, **changed}) as server:
        with pytest.raises(ConfigurationError, match=told), opened(tmp_path / "i", [], server):
            pass
        settings = IndexSettings.model_validate({"vald": {"address": server.address}}).vald
        with pytest.raises(ConfigurationError, match=told):
            look_at_cluster(settings, DIM)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[list[Server], Server]]:
    """Three agents, and a gateway that writes each vector to two."""
    with ExitStack() as stack:
        port = free_port()
        agents = [
            stack.enter_context(agent(tmp_path / f"agent{n}", DIM, f"127.0.0.{11 + n}", port))
            for n in range(3)
        ]
        discoverer = stack.enter_context(Discoverer(tmp_path, agents))
        yield agents, stack.enter_context(gateway(tmp_path / "gateway", agents, discoverer.address, 2))


def test_a_cluster_with_replicas_answers_through_builds_and_the_loss_of_an_agent(
    cluster: tuple[list[Server], Server], beside: ThreadPoolExecutor, tmp_path: Path
) -> None:
    agents, door = cluster
    rows = drawn(COUNT // 2)
    queries = nearly(rows)
    killed, missed, latencies = list[Future[None]](), list[int](), list[float]()
    with opened(tmp_path / "index", agents, door) as index:

        def meanwhile(first: int) -> None:
            for number in range(0, first, max(1, first // 5)):
                began = time.perf_counter()
                near = index.search(queries[number], 1)
                latencies.append(time.perf_counter() - began)
                if near[0].image_id != f"i{number}":
                    missed.append(number)
            if first >= _KILLED_AFTER * len(rows) and not killed:
                killed.append(beside.submit(kill_and_return, agents[1]))

        rate = write(index, rows, meanwhile)
        killed[0].result()
        took = turn_until(index, lambda: index.size().tail == 0)
        turn_until(index, lambda: is_whole(index, door, rows))
        assert_whole(index, door, rows)
        assert len(missed) <= (1 - FOUND) * len(latencies)
        print(
            f"\n{len(rows)} vectors through a gateway, one of three agents killed: {rate:.0f}/s, all in the "
            f"cluster {took:.1f} s after the last; {len(latencies)} searches meanwhile, p99 "
            f"{np.percentile(latencies, 99) * 1000:.0f} ms; recall@10 {recall(index, rows):.4f}"
        )
