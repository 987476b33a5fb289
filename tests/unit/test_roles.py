"""Roles end together, and the first failure is what is raised."""

import threading

import pytest

from worker.errors import BrokerError
from worker.roles import run_until_stopped


class Waits:
    def __init__(self):
        self.stopped = threading.Event()
        self.returned = False

    def run(self):
        assert self.stopped.wait(5)
        self.returned = True

    def stop(self):
        self.stopped.set()


class Fails(Waits):
    def run(self):
        raise BrokerError("gone")


def test_a_failed_role_stops_the_others_and_is_raised():
    waits = Waits()
    with pytest.raises(BrokerError, match="gone"):
        run_until_stopped({"a": waits, "b": Fails()})
    assert waits.returned


def test_stopping_one_stops_all():
    roles = {"a": Waits(), "b": Waits()}
    threading.Timer(0.05, roles["a"].stop).start()
    run_until_stopped(roles)
    assert all(role.returned for role in roles.values())
