"""The cluster proposes, the database decides; what is cheaper is compared whole."""

from contextlib import closing

import numpy as np
import pytest

from schemas.search import SearchFilter
from tests.unit.index.indexing import DIM, IDENTITY, unit_rows
from tests.unit.index.vald.stand_in import StandIn
from worker.errors import IndexUnavailable
from worker.index.attributes import Attributes
from worker.index.backend import Change
from worker.index.vald.images import Images, Object
from worker.index.vald.layers import Layers
from worker.index.vald.stored import Stored

COUNT = 400
ROWS = unit_rows(np.random.default_rng(0), COUNT)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Every second image is red, every hundredth rare."""
    with closing(Images(tmp_path_factory.mktemp("images"), IDENTITY)) as images:
        tags = [tuple(["red"] * (n % 2 == 0) + ["rare"] * (n % 100 == 0)) for n in range(COUNT)]
        changes = [Change(f"i{n}", ROWS[n], Attributes(tags=tags[n])) for n in range(COUNT)]
        images.apply([*changes, Change("twin", ROWS[7])], {}, 0.0, [], 0)
        yield images


@pytest.fixture
def cluster(images):
    cluster = StandIn()
    for row in ROWS:
        cluster.objects[images.name(row)] = row
    return cluster


def search(images, cluster, query, count, where=None, view=None):
    view = view or Layers(DIM, 0, images.holds).view
    return [near.image_id for near in Stored(images, cluster).search(query, count, view, where, 1.0)]


def test_objects_that_no_image_has_are_passed_over_and_more_are_asked_for(images, cluster, monkeypatch):
    monkeypatch.setattr("worker.index.vald.stored._WIDEST", 1.0)
    stray = ROWS[7] + np.linspace(1e-4, 2e-4, 40)[:, None] * unit_rows(np.random.default_rng(1), 40)
    cluster.insert([Object(f"stray{n}", row) for n, row in enumerate(stray)])
    cluster.make_searchable()
    third = np.argsort(1 - ROWS @ ROWS[7])[1]
    assert search(images, cluster, ROWS[7], 3) == ["i7", "twin", f"i{third}"]
    assert cluster.calls.count("search") == 2


def test_what_a_layer_tells_of_counts_no_more(images, cluster):
    layers = Layers(DIM, COUNT, images.holds)
    layers.delete("i7")
    assert search(images, cluster, ROWS[7], 1, view=layers.view) == ["twin"]


@pytest.mark.parametrize(("tag", "asked"), [("red", 1), ("rare", 0)])
def test_a_filter_that_lets_in_few_asks_nobody(images, cluster, monkeypatch, tag, asked):
    monkeypatch.setattr("worker.index.vald.stored._PROPOSAL_COST", 1)
    where = SearchFilter(tags=[tag])
    let_in = [n for n in range(COUNT) if n % (2 if tag == "red" else 100) == 0]
    nearest = sorted(let_in, key=lambda n: 1 - ROWS[n] @ ROWS[3])[:3]
    assert search(images, cluster, ROWS[3], 3, where) == [f"i{n}" for n in nearest]
    assert cluster.calls.count("search") >= asked
    assert bool(cluster.calls) == bool(asked)


def test_comparing_all_has_an_end(images, cluster):
    cluster.objects.clear()
    assert search(images, cluster, ROWS[3], 1) == ["i3"]
    with pytest.raises(IndexUnavailable, match=r"index\.vald\.timeout"):
        Stored(images, cluster).search(ROWS[3], 9, Layers(DIM, 0, images.holds).view, None, -1.0)
