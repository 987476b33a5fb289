"""When the next commit is due."""

from worker.score.pace import Pace

INTERVAL = 0.1


def begun() -> Pace:
    pace = Pace(INTERVAL, max_in_flight=512)
    pace.begun(100.0)
    return pace


def test_the_first_commit_is_due_at_once() -> None:
    assert Pace(INTERVAL, 512).is_due(100.0, waiting=0, finished=0)


def test_where_little_is_inside_one_comes_each_interval() -> None:
    pace = begun()
    assert not pace.is_due(100.09, waiting=40, finished=40)
    assert pace.is_due(100.11, waiting=40, finished=1)


def test_behind_a_backlog_it_waits_for_more_but_not_for_ever() -> None:
    pace = begun()
    assert not pace.is_due(100.3, waiting=512, finished=100)
    assert pace.is_due(100.3, waiting=512, finished=128)
    assert pace.is_due(100.51, waiting=512, finished=0)


def test_a_small_limit_of_events_in_flight_is_not_waited_out() -> None:
    pace = Pace(INTERVAL, max_in_flight=4)
    pace.begun(100.0)
    assert pace.is_due(100.11, waiting=1, finished=2)


def test_no_backlog_brings_a_commit_before_the_interval_is_over() -> None:
    assert not begun().is_due(100.05, waiting=512, finished=512)


def test_more_than_one_commit_takes_is_due_at_once() -> None:
    pace = begun()
    pace.hurry()
    assert pace.is_due(100.001, waiting=512, finished=10)
