"""Searches that wait for each other find what each finds alone, and fail alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from tests.unit.index.indexing import DIM, axis, filled, open_directory, snapshot, unit_rows
from worker.index.ngt.together import Together

WAIT = 20.0


class Held:
    """A live index whose searches alone wait until they are let go; `sizes` are those made side by side."""

    def __init__(self, live):
        self._live = live
        self.is_searching, self.let_go, self.sizes = threading.Event(), threading.Event(), []

    @property
    def view(self):
        return self._live.view

    def search(self, query, count, view):
        self.is_searching.set()
        assert self.let_go.wait(WAIT)
        return self._live.search(query, count, view=view)

    def search_each(self, queries, count, view):
        self.sizes.append(len(queries))
        return self._live.search_each(queries, count, view)


@pytest.fixture
def live(tmp_path):
    """A segment, some of which counts no more, and a tail."""
    live, vectors = filled(1200)
    snapshot(live, open_directory(tmp_path))
    for number in range(40):
        live.delete(f"i{number}")
        live.upsert(f"new{number}", vectors[f"i{number}"])
    return live


def searched(live, asked, waits_for):
    """What each of `asked` gives, all of which wait for one search that goes first."""
    held = Held(live)
    with closing(Together(held)) as together, ThreadPoolExecutor(len(asked) + 1) as threads:
        first = threads.submit(together.search, axis(0), 1)
        assert held.is_searching.wait(WAIT)
        futures = [threads.submit(together.search, *each) for each in asked]
        while len(together._waiting) < waits_for:
            threading.Event().wait(0.001)
        held.let_go.set()
        first.result(WAIT)
        return [future.exception(WAIT) or future.result() for future in futures], held.sizes


def test_together_they_find_what_each_finds_alone(live):
    asked = [(query, 10) for query in unit_rows(np.random.default_rng(5), 8)]
    found, sizes = searched(live, asked, 8)
    assert sizes == [8]
    assert [each.near for each in found] == [live.search(query, 10) for query, _ in asked]


def test_those_who_ask_for_another_number_have_a_turn_of_their_own(live):
    asked = [(axis(number % 3), 3 + number % 2) for number in range(6)]
    found, sizes = searched(live, asked, 6)
    assert sizes == [3, 3]
    assert [each.near for each in found] == [live.search(*each) for each in asked]


def test_a_search_that_fails_fails_alone(live):
    asked = [(axis(1), 5), (np.zeros(DIM + 1, np.float32), 5), (axis(2), 5)]
    found, _ = searched(live, asked, 3)
    assert isinstance(found[1], ValueError)
    assert [found[0].near, found[2].near] == [live.search(axis(1), 5), live.search(axis(2), 5)]


def test_searches_of_many_threads_during_changes_see_one_moment(live):
    with closing(Together(live)) as together, ThreadPoolExecutor(4) as threads:
        futures = []
        for number in range(60):
            live.upsert("moving", axis(number % 2))  # one image, at one of two places
            futures += [threads.submit(together.search, axis(side), 2000) for side in (0, 1)]
        for future in futures:
            ids = [near.image_id for near in future.result(WAIT).near]
            assert ids.count("moving") == 1
            assert len(ids) == 1201


def test_a_closed_one_still_searches(live):
    together = Together(live)
    together.close()
    together.close()
    assert together.search(axis(0), 3).near == live.search(axis(0), 3)
