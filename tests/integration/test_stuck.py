"""A worker that is stuck says so and ends, on a real Kafka."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from tests import events, images
from tests.guarded_worker import GuardedWorker
from tests.integration.running import http_json
from tests.kafka.client import Record, wait_until
from tests.poisoned_worker import POISON
from tests.workplace import Workplace
from worker.compose import create_lag_probe
from worker.metrics import Metrics
from worker.score.judge import Judge
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared
from worker.score.role import MOVING
from worker.stream.lag import LagProbe


def uploads(count: int, name: str = "good") -> list[Record]:
    image = images.encoded(images.photo(1, 64, 64))
    return [events.uploaded_bytes(f"{name}-{number}", image) for number in range(count)]


@pytest.mark.parametrize("step", ["prepare"])
def test_sigterm_ends_a_worker_in_time_whatever_hangs(
    workplace: Workplace, tmp_path: Path, step: str
) -> None:
    settings = workplace.changed(score={"drain_timeout": 1}, model={"timeout": 300})
    workplace.broker.send(settings.topics.uploaded, uploads(3, "poison"))
    worker = GuardedWorker(
        ["score"], settings, tmp_path / "log", "tests.poisoned_worker", {POISON: f"{step}:hang"}
    )
    try:
        worker.wait_until(lambda: "running score" in worker.tail(), "running", 30)
        wait_until(lambda: in_flight(worker.url) == 3, "the hang")
        began = time.monotonic()
        worker.send_sigterm()
        assert worker.wait(30) == 0
        assert time.monotonic() - began < 15
        assert "worker.roles: stopped" in worker.tail()
    finally:
        worker.kill()


def in_flight(url: str) -> float:
    try:
        text = http_json(f"{url}/metrics")[1]
    except OSError:
        return -1
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith("mekiki_commit_in_flight")]
    return float(value)


def probe_of(workplace: Workplace, metrics: Metrics) -> LagProbe:
    kafka = workplace.settings.kafka
    return create_lag_probe(kafka, workplace.settings.topics.uploaded, kafka.group, metrics)


def measured(probe: LagProbe) -> set[int] | None:
    try:
        return set(probe.measure().values())
    except KafkaException:  # as the role's thread does, which asks again
        return None


def test_lag_is_kafkas_also_where_nobody_reads_and_markers_are_no_records(workplace: Workplace) -> None:
    metrics = Metrics(CollectorRegistry())
    probe, topic = probe_of(workplace, metrics), workplace.settings.topics.uploaded
    wait_until(lambda: measured(probe) == {0}, "the new partitions to have leaders")
    workplace.broker.send(topic, uploads(40))
    assert sum(probe.measure().values()) == 40
    sample = metrics.registry.get_sample_value
    shown = [sample("mekiki_poll_lag_records", {"topic": topic, "partition": str(n)}) for n in range(2)]
    assert sum(filter(None, shown)) == 40
    with workplace.running("score"):
        workplace.broker.wait_until_done(workplace.settings.kafka.group, topic)
    assert set(probe.measure().values()) == {0}
    workplace.broker.send_in_transactions(topic, uploads(2), aborted=uploads(3))
    assert sum(probe.measure().values()) in range(2, 11)
    with workplace.running("score") as running:
        workplace.broker.wait_until_done(workplace.settings.kafka.group, topic)
        wait_until(lambda: set(probe.measure().values()) == {0}, "markers to count for nothing")
        running.wait_until_ready()


def test_a_worker_that_is_assigned_alive_and_idle_is_not_ready(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, may_go_on = Judge.__call__, threading.Event()

    def judge_later(self: Judge, batch: Sequence[Prepared]) -> list[Verdict]:
        assert may_go_on.wait(60)
        return judge(self, batch)

    monkeypatch.setattr(Judge, "__call__", judge_later)
    settings = workplace.changed(kafka={"request_timeout": 3})
    workplace.broker.send(settings.topics.uploaded, uploads(2))
    with workplace.running("score", settings=settings) as running:
        wait_until(lambda: in_flight(running.url) == 2, "the events")
        assert running.get("/readyz")[1]["missing"] == {f"score: {MOVING}": "not yet"}
        may_go_on.set()
        running.wait_until_ready()
        may_go_on.clear()
        workplace.broker.send(settings.topics.uploaded, uploads(2))
        wait_until(lambda: running.get("/readyz")[0] == 503, "it to be told", 20)
        missing = running.get("/readyz")[1]["missing"]
        assert "2 records wait, nothing was committed for" in missing[f"score: {MOVING}"]
        assert running.get("/healthz")[0] == 200
        may_go_on.set()
        running.wait_until_ready()
