"""Whose connection goes where there is no room; it costs the same among thousands as among few."""

import random
import time
from types import SimpleNamespace

import pytest

from worker.crowd import Crowd


class Connection:
    """As uvicorn's, of an address."""

    def __init__(self, address, busy=False):
        self.client = None if address is None else (address, 1)
        self.cycle = SimpleNamespace(response_complete=False) if busy else None

    def answered(self):
        self.cycle = SimpleNamespace(response_complete=True)
        return self


def crowd_of(*connections):
    crowd = Crowd()
    for one in connections:
        crowd.add(one)
    return crowd


@pytest.mark.parametrize("busy", [False, True])
def test_the_crowd_makes_room_and_not_who_has_just_come_in(busy):
    many = [Connection("10.0.0.1", busy) for _ in range(3)]
    alone, newcomer = Connection("10.0.0.3"), Connection("10.0.0.2")
    assert crowd_of(alone, *many, newcomer).first_to_go(newcomer) is many[0]


def test_of_one_address_the_idle_go_first():
    working, idle, fresh = (Connection("10.0.0.1", busy) for busy in (True, False, False))
    assert crowd_of(working, idle, fresh).first_to_go(fresh) is idle
    assert crowd_of(working, fresh).first_to_go(fresh) is working
    assert crowd_of(working.answered(), idle, fresh).first_to_go(fresh) is working


def test_of_addresses_with_as_many_an_idle_one_goes():
    busy, idle, newcomer = Connection("a", busy=True), Connection("b"), Connection("c")
    assert crowd_of(busy, idle, newcomer).first_to_go(newcomer) is idle


def test_nobody_goes_for_who_is_alone():
    alone = Connection(None)
    assert crowd_of(alone).first_to_go(alone) is None


def test_whoever_has_most_is_known_as_connections_come_and_go():
    draw, crowd, there = random.Random(5), Crowd(), []
    for _ in range(500):
        if there and draw.random() < 0.45:
            gone = there.pop(draw.randrange(len(there)))
            crowd.discard(gone)
            crowd.discard(gone)
        else:
            there.append(Connection(draw.choice(["a", "b", "c", "d", None])))
            crowd.add(there[-1])
        assert len(crowd) == len(there)
        counts = {
            address: sum(one.client == address for one in there) for address in {c.client for c in there}
        }
        first = crowd.first_to_go(None)
        assert (first is None) == (not there)
        if there:
            assert counts[first.client] == max(counts.values())


def cpu_of_making_room(count, addresses):
    """Seconds for 300 newcomers where there are `count` already."""
    crowd = crowd_of(*(Connection(str(number % addresses)) for number in range(count)))
    newcomers = [Connection(str(number % addresses)) for number in range(300)]
    began = time.thread_time()
    for one in newcomers:
        crowd.add(one)
        crowd.discard(crowd.first_to_go(one))
    return time.thread_time() - began


@pytest.mark.parametrize("addresses", [1, 7, 4_000])
def test_room_costs_as_much_among_thousands_as_among_few(addresses):
    few, many = (min(cpu_of_making_room(count, addresses) for _ in range(3)) for count in (20, 4_000))
    assert many < 5 * few + 0.001, (few, many)
