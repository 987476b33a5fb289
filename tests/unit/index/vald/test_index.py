"""The index in a Vald cluster keeps to the contract, over one that fails now and then and loses vectors."""

import random
from concurrent.futures import Future
from contextlib import closing

import numpy as np
import pytest

import worker.index.vald.stored as stored_module
from tests.unit.index.backend_contract import BackendContract
from tests.unit.index.indexing import axis, turned, unit_rows
from tests.unit.index.vald.stand_in import StandIn, at_once, open_index
from worker.errors import ConfigurationError
from worker.index.backend import Change
from worker.index.vald.index import require_fit

pytestmark = pytest.mark.usefixtures("through_the_cluster")


@pytest.fixture
def through_the_cluster(monkeypatch):
    """Also where so few vectors would be compared whole."""
    monkeypatch.setattr(stored_module, "_WIDEST", 1.0)


class TestValdIndex(BackendContract):
    @pytest.fixture(autouse=True)
    def cluster(self):
        self.cluster = StandIn()
        self.chance = random.Random(3)

    def open(self, place):
        def start(work):
            self.cluster.failures += self.chance.random() < 0.25
            return at_once(work)

        return open_index(place, self.cluster, start)

    def test_any_sequence_of_changes_and_turns_equals_brute_force(self, index, tmp_path):
        super().test_any_sequence_of_changes_and_turns_equals_brute_force(index, tmp_path, seed=4)
        assert {"search", "insert", "remove", "build"} <= set(self.cluster.calls)

    def test_filters_let_in_what_they_say_through_deletes_re_uploads_and_turns(self, index, tmp_path):
        base = super().test_filters_let_in_what_they_say_through_deletes_re_uploads_and_turns
        base(index, tmp_path, seed=1)


class Later:
    """A Start that runs what it was given when it is told to."""

    def __call__(self, work):
        self.work, self.future = work, Future()
        return self.future

    def run(self):
        self.future.set_result(self.work())


def test_what_is_on_its_way_to_the_cluster_is_found_and_may_change_meanwhile(tmp_path):
    start = Later()
    with closing(open_index(tmp_path, StandIn(), start)) as index:
        for number in range(4):
            index.upsert(f"i{number}", axis(number))
        index.turn()
        index.upsert("i0", axis(8))
        index.delete("i1")
        index.upsert("new", axis(9))

        def holds():
            found = {near.image_id for near in index.search(axis(3), 9)}
            assert found == {"i0", "i2", "i3", "new"}
            assert index.search(axis(0), 9, radius=0.5) == []
            assert index.search(axis(8), 1)[0].image_id == "i0"
            assert index.size().vectors == 4

        holds()
        start.run()
        holds()
        index.turn()
        assert index.size().tail == 3
        holds()
        index.turn()
        start.run()
        index.turn()
        assert index.size().tail == 0
        holds()


def test_near_duplicates_are_those_of_the_moment_of_each_change(tmp_path):
    near = turned(axis(0), axis(1), 0.05)
    with closing(open_index(tmp_path, StandIn())) as index:
        index.upsert("old", axis(0))
        index.turn()
        index.turn()
        changes = [
            Change("first", near),
            Change("old", None),
            Change("second", near),
            Change("first", axis(5)),
            Change("third", axis(0)),
        ]
        found = index.change_each(changes, 10, 0.01)
        assert [[each.image_id for each in one.similar] for one in found] == [
            ["old"],
            [],
            ["first"],
            [],
            ["second"],
        ]


@pytest.mark.parametrize("keeps", ["nothing", "its last save"])
def test_what_an_agent_lost_is_written_again(tmp_path, keeps):
    cluster, rows = StandIn(), unit_rows(np.random.default_rng(1), 40)
    with closing(open_index(tmp_path, cluster)) as index:
        for number in range(20):
            index.upsert(f"i{number}", rows[number])
        index.turn()
        index.turn()
        saved = dict(cluster.objects)
        for number in range(20):  # as many go as come: the count is that of the save
            index.upsert(f"i{number}", rows[20 + number])
        for _ in range(8):
            index.turn()
        assert len(cluster.objects) == len(saved)
        cluster.objects = {} if keeps == "nothing" else saved
        for _ in range(8):
            index.turn()
        for number in range(20):
            assert index.search(rows[20 + number], 1)[0].image_id == f"i{number}"


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"a": (16, "L2"), "b": (8, "L2")}, "the Vald agent b has dimension 8, the bundle's embedding 16"),
        ({"a": (16, "Hamming")}, "the Vald agent a has the distance Hamming"),
    ],
)
def test_agents_that_do_not_fit_are_refused(properties, told):
    with pytest.raises(ConfigurationError, match=told):
        require_fit(properties, 16)


def test_agents_that_fit_are_described():
    fit = {"a": (16, "L2"), "b": (16, "Cosine")}
    assert require_fit(fit, 16) == "2 agents, Cosine of 16, L2 of 16 dimensions"
