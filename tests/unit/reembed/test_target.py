"""A record of the embedded topic as one of another space's topic."""

import numpy as np

from schemas.events import ImageEmbedded
from tests.unit.index.indexing import axis, embedded
from tests.unit.records import record
from worker.reembed.target import Target, read_embedded

TARGET = Target("v2", "new", "bundle-2", copy_space="new-copies")
HEADERS = (("ce_id", b"old"), ("ce_type", b"t"), ("traceparent", b"00-trace"))


def given(**changes):
    return record(embedded("a", axis(0), **changes), topic="v1", key=b"a", headers=HEADERS)


def test_a_moved_vector_keeps_what_was_judged_and_says_whose_it_is():
    source = given(category="books", tags=["manga"])
    event = read_embedded(source)
    made = TARGET.moved(source, event, axis(5), axis(6))
    moved = ImageEmbedded.read(made.value)
    assert (made.topic, made.key) == ("v2", b"a")
    assert (moved.space, moved.bundle_id) == ("new", "bundle-2")
    np.testing.assert_array_equal(moved.vector.to_array(), axis(5))
    np.testing.assert_array_equal(moved.copy_vector.to_array(), axis(6))
    assert moved.copy_space == "new-copies"
    kept = {"event_id", "space", "bundle_id", "vector", "copy_vector", "copy_space"}
    assert moved.model_dump(exclude=kept) == event.model_dump(exclude=kept)
    assert made.headers == (("ce_id", str(moved.event_id).encode()), *HEADERS[1:])
    without = TARGET.moved(source, event, axis(5), None)
    assert without.headers == made.headers
    assert b"copy_" not in without.value
    assert moved.event_id != event.event_id


def test_what_lies_in_the_space_already_stays_as_it_is():
    source = given(space="new")
    event = read_embedded(source)
    made = TARGET.copied(source, event)
    assert ImageEmbedded.read(made.value) == event
    assert made.headers == HEADERS


def test_a_tombstone_stays_one_and_another_says_why():
    assert TARGET.removed(record(None, key=b"a", headers=HEADERS)).headers == HEADERS
    made = TARGET.removed(given(), "upload_gone")
    assert (made.topic, made.key, made.value) == ("v2", b"a", None)
    assert made.headers == (*HEADERS, ("mekiki.reason", b"upload_gone"))


def test_what_is_no_vector_of_its_key_is_none():
    assert read_embedded(given()) is not None
    assert read_embedded(record(None, key=b"a")) is None
    assert read_embedded(record(b"nope", key=b"a")) is None
    assert read_embedded(record(embedded("a", axis(0)), key=b"b")) is None
