"""What does not return is told; what returns, or was stopped with the process, is not."""

import pytest

from worker.errors import StageError
from worker.score.hanging import HangingWatch


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("worker.score.hanging.time.monotonic", lambda: now[0])
    return now


def test_only_what_runs_for_too_long_hangs(clock):
    watch = HangingWatch()
    with watch.running("a short step", 5.0):
        clock[0] += 1
        watch.look()
    with watch.running("the model (model.timeout)", 5.0):
        for _ in range(5):
            clock[0] += 1
            watch.look()
        clock[0] += 1
        with pytest.raises(StageError, match=r"the model \(model.timeout\) has not returned for 5 s"):
            watch.look()
    clock[0] += 1
    watch.look()


def test_a_process_that_was_stopped_has_its_time_yet(clock):
    watch = HangingWatch()
    with watch.running("a step", 5.0):
        clock[0] += 3600
        watch.look()
        for _ in range(4):
            clock[0] += 1
            watch.look()
        clock[0] += 1
        with pytest.raises(StageError):
            watch.look()
