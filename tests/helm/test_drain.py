"""What Kubernetes sees of a loaded worker that it ends: not ready at once, drained, gone from the group."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests import events, images
from tests.helm.installed import Installed
from tests.helm.observed import UPLOADED, get, release
from tests.kafka.client import Broker, wait_until
from tests.kafka.server import KafkaServer, free_ports
from tests.processes import Process

GROUP = "mekiki-score"
BUDGET = 20.0  # score.drain_timeout
EVENTS = 600


def outcomes(broker: Broker) -> int:
    """Results and rejections that a `read_committed` reader sees."""
    return len(broker.read("listing.image.moderated.v1")) + len(broker.read(f"{UPLOADED}.dlq"))


@pytest.mark.timeout(300)
def test_a_loaded_worker_is_ended(tmp_path: Path) -> None:
    home = tmp_path / "kafka"
    home.mkdir()
    server = KafkaServer(home)
    server.start()
    try:
        (port,) = free_ports(1)
        installed = release(tmp_path, server.bootstrap, port, max_in_flight=128)
        assert installed.container("Job", "shop-mekiki-topics").run().returncode == 0
        broker = Broker(server.bootstrap)
        photos = [images.jpeg(seed, 1800, 1400) for seed in range(20)]  # so that to drain takes a while
        broker.send(
            UPLOADED,
            [
                events.uploaded_bytes(f"i{n}", b"broken" if n % 9 == 0 else photos[n % 20])
                for n in range(EVENTS)
            ],
        )
        ended = end_in_the_middle(installed, broker, port, tmp_path / "first.log")
        assert ended < BUDGET
        wait_until(lambda: broker.members(GROUP) == 0, "the group to be empty", 5)
        assert 0 < outcomes(broker) == sum(broker.committed(GROUP, UPLOADED).values()) < EVENTS

        container = installed.container("Deployment", "shop-mekiki-score-cpu")
        second = Process(container.command, tmp_path / "second.log", container.environment)
        try:
            broker.wait_until_done(GROUP, UPLOADED, 120)
        finally:
            assert second.terminate(60) == 0
        assert outcomes(broker) == EVENTS
    finally:
        server.stop()


def end_in_the_middle(installed: Installed, broker: Broker, port: int, log: Path) -> float:
    """SIGTERM once something is committed; the seconds until the end. Checks readiness all the while."""
    container = installed.container("Deployment", "shop-mekiki-score-cpu")
    worker = Process(container.command, log, container.environment)
    readyz = f"http://127.0.0.1:{port}/readyz"
    try:
        worker.wait_until(lambda: get(readyz)[0] == 200, "ready", 60)
        worker.wait_until(lambda: sum(broker.committed(GROUP, UPLOADED).values()) > 0, "committing", 60)
        os.kill(worker.pid, signal.SIGTERM)
        began = time.monotonic()
        # The signal arrives a moment after it was sent; from then on no answer may say ready.
        before, after = [], []
        while worker.returncode is None and time.monotonic() - began < 60:
            has_arrived = "draining" in worker.tail()
            (after if has_arrived else before).append(get(readyz))
            assert has_arrived or time.monotonic() - began < 5, "the signal has not arrived"
            time.sleep(0.01)
        took = time.monotonic() - began
    finally:
        worker.kill()
    # Whoever asks as it arrives is told either; 0: the server is gone with the worker.
    answers = [answer for answer in before if answer[0] != 200] + after
    statuses = [status for status, _ in answers]
    assert {status for status, _ in before} <= {200, 503}, before
    assert statuses[0] == 503, statuses
    assert set(statuses) <= {503, 0}, statuses
    assert "stopping" in answers[0][1]
    assert worker.returncode == 0, worker.tail()
    return took
