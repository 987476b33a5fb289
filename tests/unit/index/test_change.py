import json
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.bundle import CopyHead
from schemas.rejection import RejectionReason
from schemas.vector import Vector
from tests.unit.index.indexing import DIM, SPACE, axis, embedded
from tests.unit.records import record
from worker.errors import Rejection
from worker.index.attributes import Attributes, microseconds
from worker.index.change import Delete, OfAnotherSpace, Upsert, parse_change, unit_vector


def test_upsert_scales_the_vector_to_unit_norm():
    change = parse_change(record(embedded("a", 7.0 * axis(2)), key=b"a"), SPACE, DIM)
    assert isinstance(change, Upsert)
    assert change.image_id == "a"
    assert np.array_equal(change.vector, axis(2))
    assert change.vector.dtype == np.float32


def test_what_filters_ask_for_is_read_from_the_event_and_old_events_stay_valid():
    told = {
        "category": "shoes",
        "tags": ["red", "目"],
        "listing_id": "l",
        "uploaded_at": "1970-01-01T00:00:01.5Z",
        "preferences": {"quality": 0.5},
    }
    change = parse_change(record(embedded("a", axis(2), **told), key=b"a"), SPACE, DIM)
    group = "0" * 16
    assert change.attributes == Attributes("shoes", "l", ("red", "目"), 1_500_000, {"quality": 0.5}, group)
    old = parse_change(record(embedded("a", axis(2)), key=b"a"), SPACE, DIM)
    assert old.attributes == Attributes(uploaded=microseconds(datetime(2026, 1, 1, tzinfo=UTC)), group=group)


def test_fields_of_a_later_release_are_passed_over():
    event = json.loads(embedded("a", axis(2), category="shoes"))
    vector = {**event["vector"], "scale": 2}
    later = json.dumps({**event, "season": "winter", "vector": vector}).encode()
    change = parse_change(record(later, key=b"a"), SPACE, DIM)
    assert isinstance(change, Upsert)
    assert np.array_equal(change.vector, axis(2))
    assert change.attributes.category == "shoes"


def test_no_value_is_a_delete_of_the_key():
    change = parse_change(
        record(None, topic="embedded", partition=3, offset=9, key="画像".encode()), SPACE, DIM
    )
    assert change == Delete("画像", "embedded/3/9")


def nan(vector):
    return vector * np.float32("nan")


@pytest.mark.parametrize(
    ("key", "value", "reason", "says"),
    [
        (b"a", b"{not json", RejectionReason.ENVELOPE_NOT_JSON, "JSON"),
        (b"a", b"[]", RejectionReason.ENVELOPE_INVALID, "value"),
        (b"a", json.dumps({"image_id": "a"}).encode(), RejectionReason.ENVELOPE_INVALID, "event_id"),
        (b"a", embedded("a", axis(0), type="other"), RejectionReason.ENVELOPE_UNKNOWN_TYPE, "type"),
        (b"b", embedded("a", axis(0)), RejectionReason.ENVELOPE_INVALID, "'b'"),
        (None, embedded("a", axis(0)), RejectionReason.ENVELOPE_INVALID, "key"),
        (b"\xff", embedded("a", axis(0)), RejectionReason.ENVELOPE_INVALID, "UTF-8"),
        (None, None, RejectionReason.ENVELOPE_INVALID, "key"),
        (b"a", embedded("a", axis(0)[:5]), RejectionReason.VECTOR_INVALID, "5 dimensions"),
        (b"a", embedded("a", 0 * axis(0)), RejectionReason.VECTOR_INVALID, "zero"),
        (b"a", embedded("a", nan(axis(0))), RejectionReason.VECTOR_INVALID, "NaN"),
        (b"a", embedded("a", axis(0) + np.float32("inf")), RejectionReason.VECTOR_INVALID, "infinite"),
        (
            b"a",
            embedded("a", axis(0), vector={"dim": DIM, "dtype": "float32", "data": "%%"}),
            RejectionReason.VECTOR_INVALID,
            "base64",
        ),
    ],
)
def test_rejects_with_a_typed_reason(key, value, reason, says):
    with pytest.raises(Rejection) as caught:
        parse_change(record(value, key=key), SPACE, DIM)
    assert caught.value.reason == reason
    assert says in caught.value.detail


def test_vectors_whose_squares_overflow_or_vanish_in_float32_keep_their_direction():
    assert np.array_equal(unit_vector(axis(1) * np.float32(1e38), DIM), axis(1))
    assert np.array_equal(unit_vector(axis(1) * np.float32(1e-11), DIM), axis(1))


COPIES = CopyHead(output="copy", dim=4, space="copies", near_duplicate_distance=0.1)
COPY = np.float32([0, 0, 3, 4])


def copy_of(copies=COPIES, vector=COPY, **changes):
    told = embedded("a", axis(0), copy_vector=Vector.from_array(vector).model_dump(), **changes)
    return parse_change(record(told, key=b"a"), SPACE, DIM, copies)


@pytest.mark.parametrize("space", ["copies", None], ids=["named", "of an earlier release"])
def test_a_copy_vector_of_the_bundle_s_space_is_kept_at_unit_norm(space):
    change = copy_of(**({} if space is None else {"copy_space": space}))
    assert np.array_equal(change.attributes.copy_vector, np.float32([0, 0, 0.6, 0.8]))
    assert change.other_copy_space is None


@pytest.mark.parametrize(
    ("copies", "vector", "changes", "space"),
    [
        (COPIES, COPY, {"copy_space": "other"}, "other"),
        (COPIES, COPY[:2], {}, ""),
        (None, COPY, {"copy_space": "copies"}, "copies"),
    ],
    ids=["named", "of another dimension", "without a head"],
)
def test_a_copy_vector_of_another_space_is_left_out_and_the_image_is_not(copies, vector, changes, space):
    change = copy_of(copies, vector, **changes)
    assert (change.attributes.copy_vector, change.other_copy_space) == (None, space)
    assert np.array_equal(change.vector, axis(0))


@pytest.mark.parametrize("vector", [0 * COPY, nan(COPY), np.ones(5, np.float32)])
def test_a_copy_vector_that_is_none_is_rejected(vector):
    with pytest.raises(Rejection) as caught:
        copy_of(vector=vector, copy_space="copies")
    assert caught.value.reason == RejectionReason.VECTOR_INVALID


@pytest.mark.parametrize("space", ["other", "", SPACE.upper(), f"{SPACE} "])
@pytest.mark.parametrize("vector", [axis(0), axis(0)[:5], 0 * axis(0)])
def test_a_vector_of_another_space_is_another_indexs_whatever_it_is(space, vector):
    change = parse_change(record(embedded("a", vector, space=space), key=b"a"), SPACE, DIM)
    assert change == OfAnotherSpace(space)
