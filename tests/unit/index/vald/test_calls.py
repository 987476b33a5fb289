"""Calls end: with an answer, or with an error that says whose fault it is."""

import time
from concurrent.futures import Future

import grpc
import pytest
from prometheus_client import CollectorRegistry

from worker.errors import ConfigurationError, IndexUnavailable
from worker.index.vald.calls import Calls, Patience, open_channel
from worker.metrics import Metrics

STATUS = grpc.StatusCode


class Failure(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "as it is"


def answering(*codes):
    """A method that fails with `codes`, one after another, and then answers."""
    left = list(codes)

    def method(request, timeout):
        assert 0 < timeout <= 1
        if left:
            raise Failure(left.pop(0))
        return request

    return method


def call(method, seconds=5.0, none_for=()):
    metrics = Metrics(CollectorRegistry())
    answer = Calls("vald:8081", 1.0, metrics).call("state", method, "asked", Patience(seconds), none_for)
    counted = metrics.registry.get_sample_value
    return answer, {
        result: counted("mekiki_vald_call_duration_seconds_count", {"kind": "state", "result": result}) or 0
        for result in ("ok", "failed")
    }


def test_what_may_pass_is_asked_for_again():
    passing = (STATUS.UNAVAILABLE, STATUS.ABORTED, STATUS.DEADLINE_EXCEEDED)
    assert call(answering(*passing)) == ("asked", {"ok": 1, "failed": 3})


def test_a_repeat_that_comes_late_does_not_hide_why_the_first_failed():
    late = [STATUS.DEADLINE_EXCEEDED] * 1000
    with pytest.raises(IndexUnavailable, match="UNAVAILABLE: as it is"):
        call(answering(STATUS.DEADLINE_EXCEEDED, STATUS.UNAVAILABLE, *late), seconds=0.05)
    with pytest.raises(IndexUnavailable, match="DEADLINE_EXCEEDED"):
        call(answering(*late), seconds=0.05)


def test_patience_ends():
    with pytest.raises(IndexUnavailable, match=r"vald:8081 \(state\): UNAVAILABLE: as it is"):
        call(answering(*[STATUS.UNAVAILABLE] * 1000), seconds=0.05)


@pytest.mark.parametrize("code", [STATUS.INVALID_ARGUMENT, STATUS.UNIMPLEMENTED, STATUS.UNAUTHENTICATED])
def test_what_never_passes_is_told_at_once(code):
    with pytest.raises(ConfigurationError, match="mekiki check"):
        call(answering(code))


def test_a_code_may_be_an_answer():
    assert call(answering(STATUS.NOT_FOUND), none_for=(STATUS.NOT_FOUND,))[0] is None


def test_an_authority_that_cannot_be_read_is_the_settings_fault(tmp_path):
    with pytest.raises(ConfigurationError, match=r"index\.vald\.ca_file"):
        open_channel("vald:8081", tmp_path / "none.pem")


class Futures:
    """A method of which every call fails until it was asked `rounds` times for all of `count`."""

    def __init__(self, count, rounds):
        self.left = count * rounds

    def future(self, request, timeout):
        self.left -= 1
        future = Future()
        if self.left >= 0:
            future.set_exception(Failure(STATUS.UNAVAILABLE))
        else:
            future.set_result(request)
        return future


def test_many_that_fail_together_wait_once_and_not_each():
    """An agent that is away fails all look-ups of a poll: a pause for each would use up every patience."""
    calls, requests = Calls("vald:8081", 1.0, Metrics(CollectorRegistry())), [*range(500)]
    began = time.monotonic()
    assert calls.call_all("search", Futures(500, 3), requests, Patience(5.0)) == requests
    assert time.monotonic() - began < 4
