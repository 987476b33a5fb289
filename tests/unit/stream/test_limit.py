"""The rejection limit halts a bad deploy and lets ordinary bad input through."""

from worker.settings import RejectionLimitSettings
from worker.stream.limit import RejectionLimit


def limit(**changes):
    return RejectionLimit(RejectionLimitSettings(**{"ratio": 0.5, "window": 10, "minimum": 4, **changes}))


def test_too_few_outcomes_say_nothing():
    assert limit().exceeded_by([True, True, True]) is None


def test_more_than_the_ratio_exceeds():
    assert limit().exceeded_by([True, True, False, False]) is None
    assert "75%" in limit().exceeded_by([True, True, True, False])


def test_only_committed_outcomes_of_the_window_count():
    limited = limit()
    limited.add([True] * 5 + [False] * 10)
    assert limited.exceeded_by([True] * 5) is None
    assert limited.exceeded_by([True] * 6) is not None


def test_asking_does_not_count():
    limited = limit()
    limited.exceeded_by([True] * 10)
    assert limited.exceeded_by([False] * 4) is None


def test_a_ratio_of_one_switches_it_off():
    assert limit(ratio=1).exceeded_by([True] * 100) is None
