"""The next index: what it fails of does no harm, and it begins again."""

import threading

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.index.test_serving import searched
from worker.errors import BrokerError, ConfigurationError
from worker.index.beside import NextIndex
from worker.index.serving import NEXT, Serving
from worker.metrics import Metrics


class Run:
    """Stands for an index role: runs until it is stopped, or fails."""

    def __init__(self, failure=None):
        self.failure = failure
        self.running, self.stopped = threading.Event(), threading.Event()

    def run(self):
        self.running.set()
        if self.failure is not None:
            raise self.failure
        assert self.stopped.wait(10)

    def stop(self):
        self.stopped.set()

    def is_caught_up(self):
        return True


class Filled:
    """Stands for a topic that is filled, or not yet."""

    def __init__(self, done=True):
        self.done = done

    def is_done(self):
        return self.done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("failure", [BrokerError("away"), RuntimeError("a bug")])
def test_it_begins_again_after_a_failure_and_the_current_index_serves_meanwhile(failure):
    serving, registry = Serving(searched("old"), lambda: NEXT), CollectorRegistry()
    first, second = Run(failure), Run()
    builds = iter([ConfigurationError("no such topic"), first, second])
    served, filling = [], Filled(done=False)

    def build():
        served.append((serving.next, serving.chosen().space))
        if isinstance(built := next(builds), Exception):
            raise built
        return built, searched("new"), filling

    beside = NextIndex(build, serving, Metrics(registry), first_pause=0.001)
    thread = threading.Thread(target=beside.run)
    thread.start()
    assert second.running.wait(10)
    assert serving.chosen().space == "old", "an empty topic is soon read to its end"
    filling.done = True
    assert serving.chosen().space == "new"
    assert served == [(None, "old")] * 3
    assert registry.get_sample_value("mekiki_index_next_errors_total") == 2
    assert registry.get_sample_value("mekiki_index_next_serves_ratio") == 1
    assert registry.get_sample_value("mekiki_index_next_ready_ratio") == 1
    assert registry.get_sample_value("mekiki_index_next_vectors") == 7
    beside.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert serving.next is None
    assert registry.get_sample_value("mekiki_index_next_serves_ratio") == 0
    assert registry.get_sample_value("mekiki_index_next_vectors") == 0


def test_one_that_is_stopped_while_it_is_built_ends():
    serving, run = Serving(searched("old")), Run()

    def build():
        beside.stop()
        return run, searched("new"), Filled()

    beside = NextIndex(build, serving, Metrics(CollectorRegistry()))
    beside.run()
    assert run.stopped.is_set()
