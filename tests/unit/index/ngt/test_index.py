"""NGT keeps to the contract of a backend, builds that fail among it, and owns its directory."""

import random
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

import worker.index.ngt.build as build_module
from tests.unit.index.backend_contract import BackendContract
from tests.unit.index.indexing import IDENTITY, axis, build_here, open_index
from worker.errors import IndexDirectoryError
from worker.index.ngt.index import open_ngt_index
from worker.metrics import Metrics
from worker.settings import IndexSettings


class TestNgtIndex(BackendContract):
    """Now and then a build fails, and is tried again."""

    def open(self, place):
        chance = random.Random(3)

        def build(directory, batch):
            if chance.random() < 0.25:
                raise OSError("the disk is full")
            return build_here(directory, batch)

        return open_index(place, build)


class TestWithGraphs(TestNgtIndex):
    """The same, also for segments so small that they would be compared whole."""

    @pytest.fixture(autouse=True)
    def graphs(self, monkeypatch):
        monkeypatch.setattr(build_module, "EXACT_UP_TO", 0)

    def test_any_sequence_of_changes_and_turns_equals_brute_force(self, index, tmp_path):
        super().test_any_sequence_of_changes_and_turns_equals_brute_force(index, tmp_path, seed=9)


def test_the_snapshot_is_the_generation_in_use(tmp_path):
    with closing(open_index(tmp_path)) as index:
        assert index.snapshot() is None
        index.upsert("a", axis(0))
        index.turn()
        assert index.snapshot() is None, "a build that has not been taken in is not in use"
        index.turn()
        assert index.snapshot().name == "generation-00000001"
        assert 0 <= index.snapshot().age() < 60


def test_one_process_owns_the_directory_until_it_is_closed(tmp_path):
    settings = IndexSettings(directory=tmp_path)
    first = open_ngt_index(settings, IDENTITY, Metrics(CollectorRegistry()))
    with pytest.raises(IndexDirectoryError, match="owned by process"):
        open_ngt_index(settings, IDENTITY, Metrics(CollectorRegistry()))
    first.close()
    open_ngt_index(settings, IDENTITY, Metrics(CollectorRegistry())).close()


def test_an_index_of_another_space_is_refused_and_the_directory_let_go(tmp_path):
    with closing(open_index(tmp_path)) as index:
        index.upsert("a", axis(0))
        index.turn()
        index.turn()
    other = IDENTITY.model_copy(update={"space": "other"})
    settings = IndexSettings(directory=tmp_path)
    with pytest.raises(IndexDirectoryError, match=r"index\.directory"):
        open_ngt_index(settings, other, Metrics(CollectorRegistry()))
    open_ngt_index(settings, IDENTITY, Metrics(CollectorRegistry())).close()
