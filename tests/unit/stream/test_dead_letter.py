"""A dead letter is the event as it came, and why it was rejected."""

from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.stream.dead_letter import (
    DEAD_LETTER_HEADER_BYTES,
    ENTRY,
    OWN_HEADERS,
    VALUE_BYTES,
    VALUE_SHA256,
    dead_letter_record,
    original_headers,
)

EMPTY = Rejection(RejectionReason.SOURCE_EMPTY, "the image has no bytes")


def test_the_event_is_as_it_came_and_the_headers_say_why_and_where():
    came = record(b"\xff", key=b"k", headers=[("trace", b"1"), ("none", None)], partition=2, offset=5)
    letter = dead_letter_record("dlq", came, EMPTY)
    assert (letter.topic, letter.key, letter.value) == ("dlq", b"k", b"\xff")
    assert original_headers(letter.headers) == came.headers
    headers = dict(letter.headers)
    assert headers["mekiki.reason"] == b"source.empty"
    assert headers["__streams.errors.message"] == b"the image has no bytes"
    assert headers["__streams.errors.topic"] == b"uploads"
    assert headers["__streams.errors.partition"] == b"2"
    assert headers["__streams.errors.offset"] == b"5"


def test_its_event_id_repeats_for_the_same_record_only():
    ids = [
        dict(dead_letter_record("dlq", record(offset=offset), EMPTY).headers)["mekiki.event_id"]
        for offset in (1, 1, 2)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_its_own_headers_fit_what_is_reserved_for_them():
    long = Rejection(RejectionReason.FETCH_FORBIDDEN_ADDRESS, "x" * 10_000)
    letter = dead_letter_record("dlq", record(topic="t" * 249, offset=2**62), long)
    assert sum(len(name) + len(value or b"") for name, value in letter.headers) < DEAD_LETTER_HEADER_BYTES


def test_the_original_headers_can_be_told_apart():
    came = record(headers=[("trace", b"1"), ("trace", b"2")])
    letter = dead_letter_record("dlq", came, EMPTY)
    assert original_headers(letter.headers) == came.headers


def test_a_long_detail_is_cut_between_characters_and_what_is_no_unicode_is_escaped():
    for detail in ("x" + "目" * 1000, "\ud800" + "目" * 1000):
        letter = dead_letter_record("dlq", record(), Rejection(RejectionReason.SOURCE_EMPTY, detail))
        message = dict(letter.headers)["__streams.errors.message"]
        assert message is not None
        assert 1990 < len(message) <= 2000
        assert message.decode("utf-8").endswith("目")


def test_a_second_rejection_replaces_the_headers_of_the_first():
    first = dead_letter_record("dlq", record(offset=1), Rejection(RejectionReason.SOURCE_EMPTY, "a"))
    again = record(headers=first.headers, offset=2)
    names = [
        name
        for name, _ in dead_letter_record("dlq", again, Rejection(RejectionReason.SOURCE_EMPTY, "b")).headers
    ]
    assert sorted(names) == sorted(OWN_HEADERS - {ENTRY, VALUE_BYTES, VALUE_SHA256})
