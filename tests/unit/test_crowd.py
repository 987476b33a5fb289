"""Whose connection goes where there is no room; it costs the same among thousands as among few."""

import random
import time
from collections import Counter
from types import SimpleNamespace

import pytest

import worker.crowd
from worker.crowd import Crowd


class Connection:
    """As uvicorn's, of an address."""

    def __init__(self, address, busy=False):
        self.client = None if address is None else (address, 1)
        self.cycle = SimpleNamespace(response_complete=False) if busy else None

    def answered(self):
        self.cycle = SimpleNamespace(response_complete=True)
        return self


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that stands still unless it is moved."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(worker.crowd, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def who_goes(clock, most, *there, seconds=10.0):
    """Of connections made `seconds` apart, the last one into no room."""
    crowd, gone = Crowd(most), []
    for one in there:
        clock.seconds += seconds
        gone.append(crowd.add(one))
    assert gone[:-1] == [None] * (len(there) - 1)
    assert len(crowd) == most
    return gone[-1]


@pytest.mark.parametrize("busy", [False, True])
def test_the_crowd_makes_room_and_not_who_has_just_come_in(clock, busy):
    many = [Connection("10.0.0.1", busy) for _ in range(3)]
    assert who_goes(clock, 4, Connection("10.0.0.3"), *many, Connection("10.0.0.2")) is many[0]


def test_of_one_address_the_idle_go_first(clock):
    working, idle, fresh = (Connection("10.0.0.1", busy) for busy in (True, False, False))
    assert who_goes(clock, 2, working, idle, fresh) is idle
    assert who_goes(clock, 1, working, fresh) is working
    assert who_goes(clock, 2, working.answered(), idle, fresh) is working


def test_who_has_just_come_in_counts_as_at_work(clock):
    attackers = [Connection("10.0.0.1", busy=True) for _ in range(9)]
    probe, last = Connection("10.0.0.2"), Connection("10.0.0.1", busy=True)
    assert who_goes(clock, 10, *attackers, probe, last, seconds=0.01) is attackers[0]


@pytest.mark.parametrize("busy", [False, True])
def test_of_many_addresses_the_oldest_goes_and_not_who_has_most(clock, busy):
    """An attack by many, each with a connection or two, and somebody of good will with three."""
    attackers = [Connection(f"10.0.{number}.1", busy) for number in range(98)]
    good = [Connection("10.9.9.9", busy=True) for _ in range(3)]
    assert who_goes(clock, 100, *attackers, *good) is attackers[0]
    assert who_goes(clock, 100, *good[:2], *attackers, good[2]) is (good[0] if busy else attackers[0])


def test_of_addresses_with_as_many_an_idle_one_goes(clock):
    busy, idle, newcomer = Connection("a", busy=True), Connection("b"), Connection("c")
    assert who_goes(clock, 2, busy, idle, newcomer) is idle


def test_whoever_has_most_is_known_as_connections_come_and_go():
    draw, crowd, there = random.Random(5), Crowd(8), []
    for _ in range(500):
        if there and draw.random() < 0.3:
            gone = there.pop(draw.randrange(len(there)))
            crowd.discard(gone)
            crowd.discard(gone)
        else:
            there.append(Connection(draw.choice(["a", "b", "c", "d", None])))
            counts = Counter(one.client for one in there)
            leaving = crowd.add(there[-1])
            assert (leaving is None) == (len(there) <= 8)
            if leaving:
                there.remove(leaving)
                assert counts[leaving.client] == max(counts.values())
        assert len(crowd) == len(there)


def cpu_of_making_room(count, addresses):
    """Seconds for 300 newcomers where there are `count` already, which is all that there may be."""
    crowd = Crowd(count)
    for number in range(count):
        crowd.add(Connection(str(number % addresses)))
    newcomers = [Connection(str(number % addresses)) for number in range(300)]
    began = time.thread_time()
    assert all(map(crowd.add, newcomers))
    return time.thread_time() - began


@pytest.mark.parametrize("addresses", [1, 7, 4_000])
def test_room_costs_as_much_among_thousands_as_among_few(addresses):
    few, many = (min(cpu_of_making_room(count, addresses) for _ in range(3)) for count in (20, 4_000))
    assert many < 5 * few + 0.001, (few, many)
