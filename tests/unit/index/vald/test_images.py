"""The database: images of objects, all or nothing of a batch, and what it refuses."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from schemas.search import SearchFilter
from tests.unit.index.indexing import IDENTITY, axis
from worker.errors import IndexDirectoryError
from worker.index.attributes import Attributes
from worker.index.backend import Change
from worker.index.vald.images import DATABASE, Images


@pytest.fixture
def images(tmp_path):
    with closing(Images(tmp_path, IDENTITY)) as images:
        yield images


def taken_in(images, *changes, removed=()):
    images.apply(changes, {0: 7}, 100.0, removed, 3)


def members(images, vector, where=None):
    with images.members() as found:
        return list(found.of(images.name(vector), where))


def test_images_of_equal_vectors_share_an_object_until_the_last_is_gone(images):
    taken_in(images, Change("b", axis(0)), Change("a", axis(0)), Change("c", axis(1)))
    assert (images.count(), images.objects()) == (3, 2)
    assert members(images, axis(0)) == ["a", "b"]
    taken_in(images, Change("a", axis(1)))
    assert images.orphans(9) == []
    taken_in(images, Change("b", None))
    assert images.orphans(9) == [images.name(axis(0))]
    assert images.living([images.name(axis(0)), images.name(axis(1))]) == {images.name(axis(1))}
    assert images.objects() == 1


def test_an_orphan_comes_back_or_goes(images):
    taken_in(images, Change("a", axis(0)), Change("b", axis(1)))
    taken_in(images, Change("a", None), Change("b", None))
    taken_in(images, Change("c", axis(0)), removed=[images.name(axis(1))])
    assert images.orphans(9) == []
    assert list(images.known([images.name(axis(0)), images.name(axis(1))])) == [images.name(axis(0))]
    assert [[each.name for each in part] for part in images.each_object()] == [[images.name(axis(0))]]


def test_an_image_has_its_latest_vector_and_attributes(images):
    known = Attributes("shoes", "l1", ("new", "red"), 5, {"quality": 0.5})
    taken_in(images, Change("a", axis(0)), Change("b", axis(2)))
    taken_in(images, Change("a", axis(1), known))
    assert images.attributes("a") == known
    assert np.array_equal(images.vector("a"), axis(1))
    assert members(images, axis(1), SearchFilter(tags=["red", "new"], categories=["hats", "shoes"])) == ["a"]
    assert members(images, axis(1), SearchFilter(tags=["blue"])) == []
    assert images.attributes("never") == Attributes()
    assert images.vector("never") is None


def test_it_tells_as_of_when_it_is_also_after_a_restart(images, tmp_path):
    taken_in(images, Change("a", axis(0)))
    images.apply([], {}, 200.0, [], 9)
    with closing(Images(tmp_path, IDENTITY)) as again:
        assert (again.copies(), again.as_of(), again.offsets()) == (9, 200.0, {0: 7})
        assert (again.count(), again.objects()) == (1, 1)
        again.clear()
        assert (again.count(), again.objects(), again.as_of(), again.offsets()) == (0, 0, 0, {})
        assert again.orphans(9) == [again.name(axis(0))]


def test_a_batch_that_fails_leaves_nothing(images):
    with pytest.raises(IndexDirectoryError, match="cannot be used"):
        taken_in(images, Change("a", axis(0)), Change(None, axis(1)))
    assert (images.count(), images.objects(), images.offsets()) == (0, 0, {})
    taken_in(images, Change("a", axis(0)))


@pytest.mark.parametrize("changed", [{"space": "other"}, {"dim": 8}, {"topic": "other"}])
def test_another_space_dimension_or_topic_is_refused(images, tmp_path, changed):
    with pytest.raises(IndexDirectoryError, match=r"set index\.directory"):
        Images(tmp_path, IDENTITY.model_copy(update=changed))


def test_what_is_no_database_or_of_another_release_is_refused(images, tmp_path):
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(IndexDirectoryError, match="another release"):
        Images(tmp_path, IDENTITY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / DATABASE).write_bytes(b"no database at all" * 100)
    with pytest.raises(IndexDirectoryError, match="cannot be used"):
        Images(tmp_path / "other", IDENTITY)
