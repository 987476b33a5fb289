"""The three input forms, and what is refused."""

import base64
import json
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from schemas.events import DELETED, UPLOADED, ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from tests.unit.score import test_cloud_storage as cloud_storage
from tests.unit.score import test_notifications as notifications
from tests.unit.score import test_wrappers as wrappers
from worker.errors import Rejection
from worker.score.parse import Parser

OWN = {
    "event_id": "e1",
    "image_id": "i1",
    "listing_id": "l1",
    "category": "books",
    "uploaded_at": "2026-01-02T03:04:05Z",
    "image": {"url": "https://images.example/1.jpg"},
}
STRUCTURED = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": UPLOADED,
    "time": "2026-01-02T03:04:05Z",
}
BINARY = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"7"),
    ("ce_source", b"/shop"),
    ("ce_type", UPLOADED.encode()),
]


def parse(value, headers=(), object_url="https://{bucket}.store.example/{key}"):
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Parser(object_url)(record(raw, headers=headers))


def notification(name="s3:ObjectCreated:Put", key="shop+1/%E7%9B%AE.jpg", **changes):
    entry = {
        "eventName": name,
        "eventTime": "2026-01-02T03:04:05.678Z",
        "s3": {"bucket": {"name": "uploads"}, "object": {"key": key, "sequencer": "0055"}},
    }
    return {"EventName": name, "Records": [{**entry, **changes}]}


def test_own_json():
    event = parse(OWN)
    assert isinstance(event, ImageUploaded)
    assert (event.image_id, event.category, event.image.url) == (
        "i1",
        "books",
        "https://images.example/1.jpg",
    )


def test_own_deletion():
    event = parse({"type": DELETED, "event_id": "e", "image_id": "i", "deleted_at": "2026-01-02T03:04:05Z"})
    assert isinstance(event, ImageDeleted)


def test_cloud_event_structured():
    event = parse({**STRUCTURED, "subject": "i9", "data": {"image": {"path": "a.jpg"}}})
    assert (event.event_id, event.image_id, event.image.path) == ("/shop#7", "i9", "a.jpg")
    assert event.uploaded_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_cloud_event_structured_with_an_image_as_data():
    data = base64.b64encode(b"jpeg").decode()
    event = parse({**STRUCTURED, "subject": "i9", "datacontenttype": "image/jpeg", "data_base64": data})
    assert event.image.data == data


def test_cloud_event_structured_with_json_as_base64():
    data = base64.b64encode(json.dumps(OWN).encode()).decode()
    assert parse({**STRUCTURED, "data_base64": data}).image_id == "i1"


def test_cloud_event_binary_with_json():
    event = parse(OWN, [*BINARY, ("content-type", b"application/json")])
    assert (event.event_id, event.image_id) == ("/shop#7", "i1")


def test_cloud_event_binary_with_image_bytes_and_the_records_time():
    headers = [*BINARY, ("ce_subject", b"i9"), ("ce_listingid", b"l9"), ("content-type", b"image/png")]
    event = parse(b"\x89PNG", headers)
    assert (event.image_id, event.listing_id) == ("i9", "l9")
    assert base64.b64decode(event.image.data) == b"\x89PNG"
    assert event.uploaded_at.timestamp() == 1_700_000_000


def test_bucket_notification():
    event = parse(notification())
    assert event.image_id == "uploads/shop 1/目.jpg"
    assert event.image.url == "https://uploads.store.example/shop%201/%E7%9B%AE.jpg"


def test_bucket_removal():
    assert isinstance(parse(notification("ObjectRemoved:Delete")), ImageDeleted)


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"", (), RejectionReason.ENVELOPE_NOT_JSON),
        (None, (), RejectionReason.ENVELOPE_NOT_JSON),
        (b"\xff\xfe", (), RejectionReason.ENVELOPE_NOT_JSON),
        (b"[" * 100_000, (), RejectionReason.ENVELOPE_NOT_JSON),
        ([1], (), RejectionReason.ENVELOPE_INVALID),
        ({}, (), RejectionReason.ENVELOPE_INVALID),
        ({**OWN, "image": {}}, (), RejectionReason.ENVELOPE_INVALID),
        ({**OWN, "uploaded_at": "2026-01-02T03:04:05"}, (), RejectionReason.ENVELOPE_INVALID),
        ({**OWN, "type": "listing.created.v1"}, (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
        ({**OWN, "type": {}}, (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
        ({**STRUCTURED, "type": "other"}, (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
        ({**STRUCTURED, "id": ""}, (), RejectionReason.ENVELOPE_INVALID),
        ({**STRUCTURED, "data": "text"}, (), RejectionReason.ENVELOPE_INVALID),
        ({**STRUCTURED, "data_base64": "*"}, (), RejectionReason.SOURCE_BAD_BASE64),
        (b"png", [*BINARY, ("content-type", b"image/png")], RejectionReason.ENVELOPE_INVALID),
        (b"{}", [("ce_specversion", b"1.0")], RejectionReason.ENVELOPE_INVALID),
        ({"Records": []}, (), RejectionReason.ENVELOPE_INVALID),
        ({"Records": [{}]}, (), RejectionReason.ENVELOPE_INVALID),
        ({"Records": notification()["Records"][0]}, (), RejectionReason.ENVELOPE_INVALID),
        (notification(s3=3), (), RejectionReason.ENVELOPE_INVALID),
        (notification("s3:Replication:Done"), (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
        (notification("ObjectSold:Now"), (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
        (notification(""), (), RejectionReason.ENVELOPE_UNKNOWN_TYPE),
    ],
)
def test_refused(value, headers, reason):
    with pytest.raises(Rejection) as raised:
        parse(value, headers)
    assert raised.value.reason == reason
    assert raised.value.detail


@pytest.mark.parametrize("part", ["bucket", "key"])
def test_half_a_surrogate_pair_in_a_notification_is_refused(part):
    names = {"bucket": "uploads", "key": "1.jpg", part: "\ud800"}
    s3 = {"bucket": {"name": names["bucket"]}, "object": {"key": names["key"]}}
    with pytest.raises(Rejection, match="not Unicode") as raised:
        parse(notification(s3=s3))
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID


def test_a_cloud_event_whose_only_time_is_a_timestamp_beyond_all_years_is_refused():
    event = {**STRUCTURED, "subject": "i1", "data": {"image": OWN["image"]}}
    del event["time"]
    with pytest.raises(Rejection, match="timestamp 9000000000000000 ms") as raised:
        Parser(None)(record(json.dumps(event).encode(), timestamp_ms=9_000_000_000_000_000))
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID


def test_a_notification_without_object_url_says_what_to_set():
    with pytest.raises(Rejection, match=r"fetch\.object_url") as raised:
        parse(notification(), object_url=None)
    assert raised.value.reason == RejectionReason.SOURCE_UNSUPPORTED


JUNK = [None, True, 0, -1, 1e400, "", "\ud800", "..", "x" * 3000, [], {}, [1], {"a": 1}, "[" * 50, 10**30]


def nodes(tree, path=()):
    """Where something stands in a tree of JSON."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, child in items:
        yield (*path, name)
        yield from nodes(child, (*path, name))


def with_junk(tree, rng):
    """A copy with one to three values replaced or left out."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(list(nodes(tree)) or [("x",)])
        at = tree
        for name in way:
            at = at[name]
        if rng.random() < 0.2:
            del at[last]
        else:
            at[last] = json.loads(json.dumps(rng.choice(JUNK)))
        if not tree:
            break
    return tree


BODIES = {
    "own": OWN,
    "cloud event": {**STRUCTURED, "subject": "i", "data": {"image": {"path": "a.jpg"}}, "listingid": 4},
    "notification": notification(),
    "version": {"Records": [notifications.entry("ObjectRemoved:Delete", versionId="v1")]},
    "event bridge": notifications.bridge("Object Deleted", deletion_type="Permanently Deleted"),
    "sqs": wrappers.sqs(wrappers.sns(notification()), notification()),
    "google": cloud_storage.google("deleted"),
    "azure": cloud_storage.azure("BlobDeleted", url="https://a.blob.core.windows.net/s/a.jpg?versionid=1"),
    "ceph": {**notifications.CEPH, "data": notification()},
}


def outcome_of(value):
    """What becomes of a value: the kind of event, or the reason of its rejection."""
    try:
        return type(parse(value)).__name__
    except Rejection as rejection:
        return str(rejection.reason)


@pytest.mark.parametrize("form", BODIES)
def test_whatever_is_wrong_with_an_event_is_a_rejection(form):
    """Anything else would stop the worker, and the next one, which would read the same record."""
    rng = random.Random(form)
    outcomes = Counter(outcome_of(with_junk(BODIES[form], rng)) for _ in range(600))
    assert outcomes["envelope.invalid"] > 0
    assert len(outcomes) > 1


def test_nesting_of_any_depth_is_a_rejection_or_several_events():
    depths = range(600, 1100)  # about where the interpreter's limit is, wherever the test is called from
    values = [b'{"Records":[1,' + b"[" * depth + b"]" * depth + b"]}" for depth in depths]
    assert {outcome_of(value) for value in values} == {"Several", "envelope.not_json"}


def test_a_cloud_event_without_a_time_gets_no_younger_by_a_replay():
    attributes = {"specversion": "1.0", "id": "1", "source": "shop", "type": DELETED, "subject": "i"}
    sent_back = record(json.dumps(attributes).encode(), headers=[("mekiki.timestamp", b"1600000000000")])
    assert Parser(None)(sent_back).deleted_at.timestamp() == 1_600_000_000


def test_a_value_over_the_limit_is_refused_unread():
    parse = Parser(None, max_bytes=100)
    with pytest.raises(Rejection) as raised:
        parse(record(b"[" * 101))
    assert raised.value.reason is RejectionReason.ENVELOPE_TOO_LARGE
    with pytest.raises(Rejection) as raised:
        parse(record(b"[" * 100))
    assert raised.value.reason is RejectionReason.ENVELOPE_NOT_JSON


def test_a_value_of_a_schema_registry_is_read_by_it():
    body = json.dumps(OWN).encode()
    parser = Parser(None, plain=lambda value: value[5:])
    for headers in ((), [*BINARY, ("content-type", b"application/avro")]):
        assert parser(record(b"\0\0\0\0\7" + body, headers=headers)).image_id == "i1"


def test_without_a_registry_it_says_what_to_set():
    with pytest.raises(Rejection, match="schema_registry") as raised:
        parse(b"\0\0\0\0\7{}")
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


def test_an_image_that_begins_with_zeros_is_no_value_of_a_registry():
    headers = [*BINARY, ("ce_subject", b"i9"), ("content-type", b"image/avif")]
    event = Parser(None, plain=lambda _: b"{}")(record(b"\0\0\0\x1cftypavif", headers=headers))
    assert base64.b64decode(event.image.data) == b"\0\0\0\x1cftypavif"
