"""The index role on a real Kafka and a real Vald agent, which is killed and comes back with nothing."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests import events, images
from tests.integration.conftest import kafka as kafka  # noqa: PLC0414 - a fixture
from tests.integration.conftest import workplaces
from tests.integration.test_index import (
    acknowledgements,
    assert_holds_exactly,
    embedded,
    last_vectors,
    wait_until_indexed,
)
from tests.kafka.client import Broker, wait_until
from tests.vald.servers import Server, agent
from tests.vald.test_losses import beside as beside  # noqa: PLC0414 - a fixture
from tests.vald.test_losses import kill_and_return
from tests.workplace import Workplace
from worker.check import check
from worker.index.vald.cluster import Cluster
from worker.metrics import Metrics
from worker.model.bundle import read_manifest
from worker.settings import ValdSettings

COUNT = 120


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka)


@pytest.fixture
def alone(workplace: Workplace, tmp_path: Path) -> Iterator[Server]:
    head = read_manifest(workplace.settings.model.bundle)[0].embedding
    assert head is not None
    with agent(tmp_path / "agent", head.dim) as server:
        yield server


def stored(settings: ValdSettings) -> int:
    with closing(Cluster(settings, Metrics(CollectorRegistry()))) as cluster:
        return cluster.state().stored


def test_everything_acknowledged_is_found_after_the_agent_was_killed_and_after_a_restart(
    workplace: Workplace, alone: Server, beside: ThreadPoolExecutor
) -> None:
    broker, topics = workplace.broker, workplace.settings.topics
    vald = {"address": alone.address, "agents": [alone.address], "retry_for": 60}
    changed = {"backend": "vald", "vald": vald, "snapshot_records": 30, "snapshot_interval": 1}
    settings = workplace.changed(index=changed)
    (finding,) = [found for found in check(settings) if found.subject == "index.vald"]
    assert finding.holds, finding.detail

    def upload(numbers: range) -> None:
        broker.send(topics.uploaded, [events.uploaded_bytes(f"image-{n}", images.jpeg(n)) for n in numbers])

    with workplace.running("score", "index", settings=settings) as running:
        upload(range(COUNT // 2))
        wait_until(lambda: len(acknowledgements(workplace)) > COUNT // 4, "the first acknowledgements", 60)
        killed = beside.submit(kill_and_return, alone)
        upload(range(COUNT // 2, COUNT))
        broker.send(topics.uploaded, [events.deleted("image-3"), events.deleted(f"image-{COUNT - 1}")])
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
        killed.result()
        wait_until_indexed(workplace)
        running.wait_until_ready()
        expected, gone = last_vectors(embedded(workplace)), ["image-3", f"image-{COUNT - 1}"]
        assert len(expected) == COUNT - 2
        assert_holds_exactly(running, expected, gone)
        wait_until(lambda: running.get("/index")[1]["tail"] == 0, "all in the cluster", 60)
        different = len({vector.tobytes() for vector in expected.values()})
        wait_until(lambda: stored(settings.index.vald) == different, "these alone in the cluster", 60)
        assert_holds_exactly(running, expected, gone)
    acknowledged = Counter((each.input.partition, each.input.offset) for each in acknowledgements(workplace))
    assert acknowledged == {(r.partition, r.offset): 1 for r in embedded(workplace)}
    with workplace.running("index", settings=settings) as again:
        again.wait_until_ready()
        assert_holds_exactly(again, expected, gone)
