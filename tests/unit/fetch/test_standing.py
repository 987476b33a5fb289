"""What is known of a host, by a clock of the test's own."""

import pytest

from schemas.rejection import RejectionReason
from worker.errors import StoreFailed
from worker.fetch.standing import Standing


def failure(retry_after: float | None = None) -> StoreFailed:
    return StoreFailed(RejectionReason.FETCH_UNREACHABLE, "no", "shop.test", retry_after)


def standing(*, served: bool = True) -> Standing:
    made = Standing(patience=2.0)
    if served:
        made.served(1000.0)
    return made


def test_one_accident_is_no_outage() -> None:
    host = standing()
    host.failed(1001.0, 1001.1, failure())
    assert not host.is_down(1002.0)
    assert not host.is_down(1010.0), "many failures make an outage, not one that is long ago"


def test_failures_in_a_row_for_longer_than_the_patience_are() -> None:
    host = standing()
    for now in (1001.0, 1001.5, 1002.0):
        host.failed(now, now, failure())
        assert not host.is_down(now)
    assert host.is_down(1003.0)
    host.served(1004.0)
    assert not host.is_down(1004.0)


def test_a_silent_host_is_down_from_when_it_was_asked() -> None:
    host = standing()
    for now in (1004.0, 1004.0, 1004.0):
        host.failed(1001.0, now, failure())
    assert host.is_down(1004.0)


def test_what_was_asked_before_others_were_served_says_nothing() -> None:
    host = standing()
    for _ in range(5):
        host.failed(990.0, 1001.0, failure())
    assert host.failing_since is None


@pytest.mark.parametrize(("seconds", "down_at_once"), [(1.0, False), (30.0, True)])
def test_a_host_that_asks_for_patience_gets_it(seconds: float, down_at_once: bool) -> None:
    host = standing()
    host.failed(1001.0, 1001.0, failure(seconds))
    assert host.is_down(1001.0) is down_at_once
    assert host.not_before == 1001.0 + seconds
    host.served(1001.5)  # asked before it said so
    assert host.is_down(1001.5) is down_at_once
    assert not host.is_down(1001.0 + seconds)


def test_no_server_can_ask_for_ever() -> None:
    host = standing()
    host.failed(1001.0, 1001.0, failure(10.0**9))
    assert host.not_before == 1001.0 + 3600


@pytest.mark.parametrize("served", [True, False])
def test_it_is_left_alone_for_longer_and_longer(served: bool) -> None:
    host, now = standing(served=served), 1001.0
    for pause in (15, 30, 60, 120, 240, 300, 300):
        host.failed(now, now, failure())
        assert host.try_at == now + pause
        host.failed(now, now + 0.5, failure())  # others that were asked with it
        now = host.try_at
    assert host.is_proven(now) is served
