"""What a dead letter becomes when it is sent back."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from schemas.events import DELETED, ImageDeleted
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.replay.history import REPLAY_OF, History, _Latest
from worker.replay.image_events import read_embedded, uploads_reader
from worker.replay.replay import REPLAYS, Replay
from worker.score.outcome import Removal
from worker.score.parse import Parser
from worker.score.publish import Publisher
from worker.score.served import Attribution
from worker.settings import TopicSettings
from worker.stream.cause import POSITION, TIME
from worker.stream.dead_letter import EVENT_ID, TIMESTAMP, dead_letter_record
from worker.stream.kafka import InputRecord

NOTHING = cast(Any, None)  # neither a consumer nor a delivery is asked
HISTORY = History(NOTHING, "uploads", uploads_reader(Parser("https://store.example/{bucket}/{key}")), 1.0)
REPLAY = Replay(NOTHING, NOTHING, HISTORY, "uploads.dlq", "uploads", None, 1.0)


def dead(rejected: InputRecord) -> InputRecord:
    """What a reader of the dead-letter topic gets of `rejected`."""
    letter = dead_letter_record("uploads.dlq", rejected, Rejection(RejectionReason.SOURCE_EMPTY, "empty"))
    return InputRecord("uploads.dlq", 0, 7, letter.key, letter.value, letter.headers, 0)


@pytest.mark.parametrize(
    ("given", "counted"), [((), b"1"), (((REPLAYS, b"2"),), b"3"), (((REPLAYS, b"often"),), b"1")]
)
def test_replays_are_counted_whatever_a_producer_wrote_there(given: Any, counted: bytes) -> None:
    read = dead(record(b"{}", key=b"k", headers=[("trace", b"1"), (REPLAY_OF, b"an earlier one"), *given]))
    back = REPLAY._original(read, read.value)
    assert (back.topic, back.key, back.value) == ("uploads", b"k", b"{}")
    assert back.headers == (
        ("trace", b"1"),
        (REPLAYS, counted),
        (REPLAY_OF, dict(read.headers)[EVENT_ID]),
        (TIMESTAMP, b"1700000000000"),
    )


class Line:
    """The uploaded topic as a test writes it, and its dead letters."""

    def __init__(self) -> None:
        self.history = History(NOTHING, "uploads", HISTORY.read_events, 1.0)
        self.history._images = {"i": _Latest(), "shop/a.jpg": _Latest()}
        self.history._reached = {0: 0, 1: 0}

    def replayed(self, rejected: InputRecord, *since: InputRecord) -> tuple[list[bytes | None], Counter[str]]:
        for other in since:
            self.history._take(other)
        passed = Counter[str]()
        replay = Replay(NOTHING, NOTHING, self.history, "uploads.dlq", "uploads", None, 1.0)
        return [back.value for back in replay._judged(dead(rejected), passed)], passed


def upload(event_id: str, at: str, **place: Any) -> InputRecord:
    image = {"path": "a.jpg"}
    body = {"event_id": event_id, "image_id": "i", "uploaded_at": f"2026-11-{at}Z", "image": image}
    return record(json.dumps(body).encode(), **place)


def deletion(at: str, **place: Any) -> InputRecord:
    body = {"type": DELETED, "event_id": "d", "image_id": "i", "deleted_at": f"2026-11-{at}Z"}
    return record(json.dumps(body).encode(), **place)


def stored(*events: tuple[str, str, str], **place: Any) -> InputRecord:
    """A notification of several objects: name of the event, key, time."""
    return record(
        json.dumps(
            {
                "Records": [
                    {
                        "eventSource": "aws:s3",
                        "eventName": name,
                        "eventTime": f"2026-11-{at}Z",
                        "s3": {"bucket": {"name": "shop"}, "object": {"key": key, "sequencer": at}},
                    }
                    for name, key, at in events
                ]
            }
        ).encode(),
        **place,
    )


ONE = upload("one", "20T10:00:00", offset=5)
PUT, REMOVED = "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated"
OF_STORE = stored((PUT, "a.jpg", "20T10:00:00"), offset=5)


@pytest.mark.parametrize(
    ("rejected", "since", "why"),
    [
        (ONE, [], None),
        (ONE, [ONE], None),  # its own place in the log
        (ONE, [deletion("20T10:00:01", offset=6)], "overtaken"),
        (ONE, [deletion("20T10:00:00", offset=6)], "overtaken"),
        (ONE, [deletion("20T10:00:00", offset=4)], None),
        (ONE, [deletion("20T09:59:59", offset=6)], None),  # of the image before
        (ONE, [deletion("20T11:00:00", offset=4)], "overtaken"),  # by its time, whatever came first
        (ONE, [upload("two", "20T10:00:01", offset=6)], "overtaken"),
        (ONE, [upload("two", "20T10:00:00.000001", offset=6)], "overtaken"),
        (ONE, [upload("late", "20T09:00:00", offset=6)], None),
        (ONE, [deletion("20T10:00:01", partition=1, offset=2)], "overtaken"),
        (ONE, [deletion("20T10:00:00", partition=1, offset=2, timestamp_ms=1_700_000_000_001)], "overtaken"),
        (ONE, [deletion("20T10:00:00", partition=1, offset=9, timestamp_ms=1_600_000_000_000)], None),
        (ONE, [upload("one", "20T10:00:00", offset=9)], "already_sent"),
        (upload("one", "20T10:00:00", offset=9), [ONE], None),  # a replay that failed again
        (deletion("20T10:00:00", offset=5), [upload("two", "21T10:00:00", offset=6)], "overtaken"),
        (deletion("20T10:00:00", offset=5), [upload("two", "19T10:00:00", offset=6)], None),
        (OF_STORE, [stored((REMOVED, "a.jpg", "20T10:00:01"), offset=6)], "overtaken"),
        (OF_STORE, [stored((REMOVED, "b.jpg", "20T10:00:01"), offset=6)], None),
        (
            OF_STORE,
            [stored((PUT, "z.jpg", "20T12:00:00"), (PUT, "a.jpg", "20T12:00:00"), offset=6)],
            "overtaken",
        ),
        (record(b"not json", offset=5), [deletion("20T10:00:01", offset=6)], None),
    ],
)
def test_what_an_image_has_had_since_is_not_overtaken(
    rejected: InputRecord, since: list[InputRecord], why: str | None
) -> None:
    sent, passed = Line().replayed(rejected, *since)
    assert sent == ([] if why else [rejected.value])
    assert passed == (Counter([why]) if why else Counter())


def test_of_several_events_those_that_are_overtaken_stay_behind() -> None:
    line = Line()
    line.history._images["shop/b.jpg"] = _Latest()
    several = stored((PUT, "a.jpg", "20T10:00:00"), (PUT, "b.jpg", "20T10:00:00"), offset=5)
    (sent,), passed = line.replayed(several, stored((REMOVED, "a.jpg", "20T10:00:01"), offset=6))
    assert passed == Counter(["overtaken"])
    assert [event.image_id for event in HISTORY.read_events(record(sent))] == ["shop/b.jpg"]


@pytest.mark.parametrize("value", [b"not json", b"", None, b"[]"])
def test_what_cannot_be_read_is_sent_back_once(value: bytes | None) -> None:
    rejected, line = record(value, offset=5), Line()
    letter = dead(rejected)
    back = REPLAY._original(letter, letter.value)
    assert line.replayed(rejected) == ([value], Counter())
    again = record(value, offset=9, headers=back.headers)
    assert line.replayed(rejected, again) == ([], Counter(["already_sent"]))
    assert line.replayed(again) == ([value], Counter()), "rejected again, it may be sent again"


def test_the_time_of_a_tombstone_is_that_of_its_cause() -> None:
    deleted = ImageDeleted(
        type=DELETED, event_id="d", image_id="i", deleted_at=datetime(2026, 11, 21, tzinfo=UTC)
    )
    publish = Publisher(TopicSettings(), Attribution("b", "s", "p", []))
    (tombstone,) = publish(record(offset=7, entry=2), Removal(deleted))
    read = record(None, key=tombstone.key, headers=tombstone.headers)
    assert [(event.image_id, event.time) for event in read_embedded(read)] == [("i", deleted.deleted_at)]
    assert dict(tombstone.headers)[POSITION] == b"uploads/0/7/2"
    for headers in ((), ((TIME, b"yesterday"),), ((TIME, b"2026-11-21T00:00:00"),), ((TIME, None),)):
        (event,) = read_embedded(record(None, key=b"i", headers=headers))
        assert event.time is None
