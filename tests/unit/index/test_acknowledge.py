from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

from schemas.bundle import CopyHead
from schemas.events import INDEX_UPDATED, IndexUpdated, derived_event_id
from schemas.vector import Vector
from tests.unit.index.indexing import axis, embedded, embedded_record, open_index, turned
from tests.unit.records import record
from worker.index.acknowledge import Updates
from worker.metrics import Metrics
from worker.settings import TopicSettings

TOPICS = TopicSettings()


@pytest.fixture
def index(tmp_path):
    with closing(open_index(tmp_path)) as opened:
        yield opened


@pytest.fixture
def metrics():
    return Metrics(CollectorRegistry())


@pytest.fixture
def updates(index, metrics):
    return Updates(index, TOPICS, 0.01, 2, metrics)


def acknowledged(output):
    assert output.topic == TOPICS.index_updated
    return IndexUpdated.model_validate_json(output.value)


def test_an_upsert_is_searchable_when_its_acknowledgement_exists(index, updates):
    output = updates.apply(embedded_record("a", axis(0), partition=2, offset=5))
    event = acknowledged(output)
    assert output.key == b"a"
    assert event.state == "searchable"
    assert event.event_id == derived_event_id(INDEX_UPDATED, "embedded/2/5")
    assert (event.input.topic, event.input.partition, event.input.offset) == ("embedded", 2, 5)
    assert index.search(axis(0), 1)[0].image_id == "a"


def test_a_tombstone_of_an_unknown_image_is_acknowledged_too(index, updates):
    updates.apply(embedded_record("a", axis(0)))
    assert acknowledged(updates.apply(embedded_record("a", None, offset=1))).state == "deleted"
    assert acknowledged(updates.apply(embedded_record("never", None, offset=2))).state == "deleted"
    assert index.size().vectors == 0
    assert index.size().tail == 0


def test_an_acknowledgement_names_the_group_and_a_replay_gives_the_same(index, updates):
    first, second, gone = (
        acknowledged(each)
        for each in updates.apply_all(
            [
                embedded_record("a", axis(0), "a" * 64),
                embedded_record("b", turned(axis(0), axis(1), 0.05), "b" * 64, offset=1),
                embedded_record("a", None, offset=2),
            ]
        )
    )
    assert first.group == second.group == "a" * 16
    assert gone.group is None
    assert [near.decided_by for near in second.near_duplicates] == ["similar"]
    again = embedded_record("c", turned(axis(0), axis(1), 0.05), "c" * 64)
    updates.replay([embedded_record("a", axis(0), "a" * 64), again])
    assert {each.group for each in index.attributes_of(["a", "b", "c"])} == {first.group}


def test_near_duplicates_come_from_the_generation_and_the_records_just_before(index, updates, metrics):
    updates.apply(embedded_record("in generation", turned(axis(0), axis(1), 0.05)))
    updates.apply(embedded_record("far", axis(4), offset=1))
    index.turn()
    index.turn()
    assert index.size().tail == 0
    updates.apply(embedded_record("in tail", turned(axis(0), axis(1), 0.02), offset=2))
    event = acknowledged(updates.apply(embedded_record("a", axis(0), offset=3)))
    assert [near.image_id for near in event.near_duplicates] == ["in tail", "in generation"]
    assert event.near_duplicates[0].distance == pytest.approx(0.0002, abs=1e-6)
    third = acknowledged(updates.apply(embedded_record("a", turned(axis(0), axis(1), 0.03), offset=4)))
    assert "a" not in [near.image_id for near in third.near_duplicates]
    assert len(third.near_duplicates) == 2
    assert metrics.registry.get_sample_value("mekiki_index_near_duplicates_total") == 3


def test_a_rejected_record_leaves_its_bytes_and_the_index_alone(index, updates, metrics):
    updates.apply(embedded_record("a", axis(0)))
    output = updates.apply(
        record(b"nope", topic="embedded", partition=1, offset=7, key=b"a", headers=(("trace", b"t"),))
    )
    headers = dict(output.headers)
    assert output.topic == TOPICS.index_dead_letter
    assert (output.key, output.value) == (b"a", b"nope")
    assert headers["trace"] == b"t"
    assert headers["mekiki.reason"] == b"envelope.not_json"
    assert headers["__streams.errors.offset"] == b"7"
    assert index.size().vectors == 1
    rejected = metrics.registry.get_sample_value(
        "mekiki_index_rejections_total", {"reason": "envelope.not_json"}
    )
    assert rejected == 1


def test_a_replay_applies_and_says_nothing(index, updates, metrics):
    updates.replay([embedded_record("a", axis(0))])
    updates.replay([record(b"nope", topic="embedded", key=b"a")])
    assert index.size().vectors == 1
    assert metrics.registry.get_sample_value("mekiki_index_near_duplicates_total") == 0


def test_records_of_another_space_are_counted_and_change_nothing(index, updates, metrics):
    updates.apply(embedded_record("a", axis(0)))
    for number in range(3):
        foreign = record(embedded("a", axis(1), space="other"), topic="embedded", key=b"a", offset=1 + number)
        assert updates.apply(foreign) is None
        updates.replay([foreign])
    assert index.search(axis(0), 1)[0].distance == pytest.approx(0, abs=1e-6)
    assert metrics.registry.get_sample_value("mekiki_index_passed_over_total", {"reason": "other_space"}) == 3


def test_copy_vectors_of_another_space_are_counted_and_not_compared(index, metrics):
    copies = CopyHead(output="copy", dim=16, space="mine", near_duplicate_distance=0.1)
    updates = Updates(index, TOPICS, 0.01, 2, metrics, copies=copies)

    def told(image_id, vector, space, offset, turned_to=9):
        copy = Vector.from_array(axis(turned_to)).model_dump()
        value = embedded(image_id, vector, copy_vector=copy, copy_space=space)
        sent = record(value, topic="embedded", key=image_id.encode(), offset=offset)
        return acknowledged(updates.apply(sent)).near_duplicates

    assert told("a", axis(0), "mine", 0) == []
    assert told("b", axis(1), "other", 1) == []
    (found,) = told("c", axis(2), "mine", 2)
    assert (found.image_id, found.decided_by, found.copy_distance) == ("a", "copy", 0.0)
    (found,) = told("d", axis(1), "mine", 3, turned_to=10)
    assert (found.image_id, found.decided_by) == ("b", "similar")
    left_out = {"reason": "other_copy_space"}
    assert metrics.registry.get_sample_value("mekiki_index_passed_over_total", left_out) == 1
