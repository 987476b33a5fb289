"""A parked event comes back as it was, and knows where it stood."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.events import UPLOADED
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.stream.dead_letter import dead_letter_record
from worker.stream.kafka import InputRecord, Parking
from worker.stream.retry import Moment, overtaken_record, parked_record, read_note, unparked

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PARKING = Parking("shop-7/靴.jpg", UPLOADED, WHEN, 2, 1000, 2000)
WHY = Rejection(RejectionReason.FETCH_TIMEOUT, "silent")


def read_back(out, offset=77):
    """What a consumer of the retry topic gets."""
    return InputRecord(out.topic, out.partition, offset, out.key, out.value, out.headers, 999)


@pytest.mark.parametrize("entry", [None, 0, 3])
def test_an_event_comes_back_as_it_stood(entry):
    first = replace(
        record(b'{"a": 1}', headers=(("trace", b"\x00\xff"), ("ce_id", b"7")), timestamp_ms=123456),
        entry=entry,
    )
    parked = read_back(parked_record("retry", first, PARKING, WHY))
    assert (parked.topic, parked.partition, parked.key) == ("retry", first.partition, first.key)
    note = read_note(parked)
    assert note.parking == PARKING
    assert note.moment == Moment(WHEN, first.offset)
    back = unparked(parked, note.parking)
    assert back == replace(first, parking=PARKING)
    again = read_back(parked_record("retry", back, replace(PARKING, attempts=3), WHY))
    assert unparked(again, read_note(again).parking) == replace(first, parking=replace(PARKING, attempts=3))


def test_a_parked_event_that_is_rejected_at_last_is_a_dead_letter_like_any_other():
    first = record(b"{}", headers=(("trace", b"x"),), timestamp_ms=5)
    parked = read_back(parked_record("retry", first, PARKING, WHY))
    back = unparked(parked, read_note(parked).parking)
    assert dead_letter_record("dlq", back, WHY) == dead_letter_record("dlq", first, WHY)


def test_a_mark_names_its_image_and_what_it_has_had():
    mark = read_back(overtaken_record("retry", 3, "shop-7/靴.jpg", Moment(WHEN, 12)))
    assert mark.partition == 3
    assert mark.value is None
    note = read_note(mark)
    assert (note.image_id, note.moment, note.parking) == ("shop-7/靴.jpg", Moment(WHEN, 12), None)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("mekiki.retry.kind", b"parked"),),
        (("mekiki.retry.event_time", b"yesterday"), ("mekiki.retry.offset", b"1")),
        (("mekiki.retry.event_time", b"2026-01-02T03:04:05+00:00"), ("mekiki.retry.offset", None)),
        (("mekiki.retry.event_time", b"0001-01-01T00:00:00+23:00"), ("mekiki.retry.offset", b"1")),
    ],
)
def test_what_no_worker_wrote_says_nothing(headers):
    assert read_note(record(b"{}", headers=headers)) is None
