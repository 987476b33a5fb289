"""NGT keeps to the contract of a backend, builds that fail among it, and owns its directory."""

import random
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.index.backend_contract import BackendContract
from tests.unit.index.indexing import IDENTITY, axis, build_here, open_index
from worker.errors import IndexDirectoryError
from worker.index.ngt.index import open_ngt_index
from worker.metrics import Metrics
from worker.settings import IndexSettings


class TestNgtIndex(BackendContract):
    """Now and then a build fails; the next one makes the graph afresh."""

    def open(self, place):
        chance = random.Random(3)

        def build(directory, frozen, afresh):
            if chance.random() < 0.25:
                raise OSError("the disk is full")
            return build_here(directory, frozen, afresh)

        return open_index(place, build)


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
