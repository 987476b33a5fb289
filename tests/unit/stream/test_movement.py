"""Ready means that what waits gets its outcome."""

import pytest

from worker.health import Health
from worker.stream.movement import Movement

CONDITION = "outcomes are committed"


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("worker.stream.movement.time.monotonic", lambda: now[0])
    return now


def watched():
    health = Health(60, (CONDITION,))
    return health, Movement(health, CONDITION, 60.0)


def test_it_is_not_ready_before_something_moved_or_nothing_waits():
    health, movement = watched()
    movement.observe(5)
    movement.observe(None)
    assert not health.ready()[0]
    movement.observe(0)
    assert health.ready()[0]


def test_the_first_commit_counts():
    health, movement = watched()
    movement.observe(5)
    movement.committed()
    assert health.ready()[0]


def test_what_waits_too_long_is_told(clock):
    health, movement = watched()
    movement.committed()
    movement.observe(902)
    clock[0] += 59
    movement.observe(902)
    assert health.ready()[0]
    clock[0] += 2
    movement.observe(902)
    assert health.ready() == (False, {CONDITION: "902 records wait, nothing was committed for 61 s"})
    movement.committed()
    assert health.ready()[0]


def test_a_slow_stream_is_no_stall(clock):
    health, movement = watched()
    movement.observe(0)
    for _ in range(5):
        clock[0] += 50
        movement.observe(1)
        clock[0] += 50
        movement.committed()
    assert health.ready()[0]
