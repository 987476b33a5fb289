"""The thread that measures lag goes on whatever a broker does, and shows no lag that is not known."""

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from worker.metrics import Metrics
from worker.stream.lag import LagProbe


class Cluster:
    """Clients of a cluster whose every partition has 50 records more than are committed."""

    def __init__(self):
        self.partitions, self.failure, self.answered = 4, None, 0

    def list_topics(self, name, timeout):
        partitions = dict.fromkeys(range(self.partitions))
        return SimpleNamespace(topics={name: SimpleNamespace(error=None, partitions=partitions)})

    def committed(self, partitions, timeout):
        for at in partitions:
            at.offset = 100
        return partitions

    def list_offsets(self, asked, request_timeout):
        answers = {}
        for at in asked:
            answers[at] = Future()
            if self.failure is None:
                answers[at].set_result(SimpleNamespace(offset=150))
            else:
                answers[at].set_exception(self.failure)
        self.answered += 1
        return answers

    def close(self):
        pass


def lags(metrics):
    found = [metric for metric in metrics.registry.collect() if metric.name == "mekiki_poll_lag_records"]
    return {sample.labels["partition"]: sample.value for sample in found[0].samples}


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    "failure",
    [TimeoutError(), KafkaException(KafkaError(KafkaError._TIMED_OUT)), KeyError(3), RuntimeError("closed")],
)
def test_it_goes_on_after_any_failure_and_shows_nothing_meanwhile(monkeypatch, failure):
    monkeypatch.setattr("worker.stream.lag._ASK_SECONDS", 0.01)
    cluster, metrics = Cluster(), Metrics(CollectorRegistry())
    client = cast(Any, cluster)
    with LagProbe(client, client, client, "uploads", "group", metrics, interval=0.01):
        until(lambda: lags(metrics) == dict.fromkeys("0123", 50))
        cluster.failure = failure
        until(lambda: lags(metrics) == {})
        cluster.failure, cluster.partitions = None, 6
        until(lambda: lags(metrics) == dict.fromkeys("012345", 50))
        cluster.partitions = 2  # made again with fewer
        until(lambda: lags(metrics) == dict.fromkeys("01", 50))
