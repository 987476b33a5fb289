"""A view stays what it was, whatever comes after it."""

from tests.unit.index.indexing import DIM, axis
from worker.index.attributes import NOTHING_KNOWN
from worker.index.vald.layers import Layers


def layers(*below):
    return Layers(DIM, len(below), lambda image_id: image_id in below)


def ids(view, number):
    return sorted(near.image_id for near in view.search(axis(number), 9, None))


def test_a_view_does_not_see_later_changes():
    changing = layers("below")
    changing.upsert("a", axis(0), NOTHING_KNOWN)
    before = changing.view
    changing.upsert("a", axis(1), NOTHING_KNOWN)
    changing.upsert("below", axis(2), NOTHING_KNOWN)
    changing.delete("a")
    assert ids(before, 0) == ["a"]
    assert before.shows_below("below")
    assert ids(changing.view, 0) == ["below"]
    assert not changing.view.shows_below("below")
    assert not changing.view.shows_below("a")


def test_a_batch_is_what_it_was_when_it_was_set_aside():
    changing = layers("below", "gone")
    changing.upsert("a", axis(0), NOTHING_KNOWN)
    changing.upsert("b", axis(1), NOTHING_KNOWN)
    changing.delete("gone")
    changing.delete("b")
    batch = changing.set_aside({0: 3}, 1.0)
    changing.upsert("a", axis(4), NOTHING_KNOWN)
    assert changing.set_aside({0: 9}, 2.0) is batch
    told = {change.image_id: change.vector for change in batch.changes()}
    assert told.keys() == {"a", "b", "gone"}
    assert told["b"] is None
    assert told["gone"] is None
    assert told["a"].tolist() == axis(0).tolist()
    assert (batch.offsets, batch.as_of) == ({0: 3}, 1.0)


def test_images_are_counted_through_layers():
    changing = layers("below")
    changing.upsert("below", axis(0), NOTHING_KNOWN)
    changing.upsert("a", axis(0), NOTHING_KNOWN)
    changing.delete("never")
    assert (changing.images, changing.changes) == (2, 2)
    changing.set_aside({}, 0.0)
    changing.delete("a")
    changing.delete("a")
    assert (changing.images, changing.changes) == (1, 3)
    changing.drop()
    assert changing.changes == 1
