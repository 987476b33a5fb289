"""The cluster first, then the database; whatever fails in between may be done again."""

from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.index.indexing import DIM, IDENTITY, axis
from tests.unit.index.vald.stand_in import StandIn
from worker.errors import IndexUnavailable
from worker.index.attributes import NOTHING_KNOWN
from worker.index.vald.commits import Commits
from worker.index.vald.images import Images
from worker.index.vald.layers import Layers
from worker.metrics import Metrics


@pytest.fixture
def images(tmp_path):
    with closing(Images(tmp_path, IDENTITY)) as images:
        yield images


def batch(images, **vectors):
    layers = Layers(DIM, 0, images.holds)
    for image_id, vector in vectors.items():
        if vector is None:
            layers.delete(image_id)
        else:
            layers.upsert(image_id, vector, NOTHING_KNOWN)
    return layers.set_aside({0: 1}, 1.0)


def commits(images, cluster):
    return Commits(images, cluster, Metrics(CollectorRegistry()))


@pytest.mark.parametrize("failing", ["insert", "remove", "build"])
def test_a_commit_that_fails_leaves_the_database_and_is_done_again(images, failing):
    cluster = StandIn()
    commits(images, cluster).take_in(batch(images, a=axis(0), b=axis(1)))
    commits(images, cluster).take_in(batch(images, a=None))
    changed = batch(images, b=axis(2), c=axis(0))

    def fail(*_):
        raise IndexUnavailable("no answer")

    works, method = cluster.__class__, {"build": "make_searchable"}.get(failing, failing)
    setattr(cluster, method, fail)
    with pytest.raises(IndexUnavailable):
        commits(images, cluster).take_in(changed)
    assert images.holds("b")
    assert not images.holds("c")
    setattr(cluster, method, getattr(works, method).__get__(cluster))
    commits(images, cluster).take_in(changed)
    assert {images.name(axis(0)), images.name(axis(2))} <= cluster.objects.keys()
    assert images.vector("b").tolist() == axis(2).tolist()


def test_an_object_that_comes_back_after_its_removal_was_cut_off_is_written_again(images):
    cluster = StandIn()
    commits(images, cluster).take_in(batch(images, a=axis(0)))
    commits(images, cluster).take_in(batch(images, a=None))
    cluster.remove(images.orphans(9))  # and the process ended
    commits(images, cluster).take_in(batch(images, b=axis(0)))
    assert cluster.objects.keys() == {images.name(axis(0))}


def test_an_agent_that_dies_before_it_has_indexed_loses_nothing(images):
    class Dying(StandIn):
        dies = True

        def make_searchable(self):
            if self.dies:
                self.dies, self.waiting, self.objects = False, {}, {}
            return super().make_searchable()

    cluster = Dying()
    cluster.dies = False
    commits(images, cluster).take_in(batch(images, a=axis(0)))
    cluster.dies = True
    commits(images, cluster).take_in(batch(images, b=axis(1)))
    assert cluster.objects.keys() == {images.name(axis(0)), images.name(axis(1))}


def test_a_cluster_that_takes_nothing_back_is_not_believed(images):
    cluster = StandIn()
    commits(images, cluster).take_in(batch(images, a=axis(0)))
    cluster.objects = {}
    cluster.insert = lambda objects: 0
    with pytest.raises(IndexUnavailable, match="0 vectors of 1"):
        commits(images, cluster).look(2.0)
    assert images.as_of() == 1.0
