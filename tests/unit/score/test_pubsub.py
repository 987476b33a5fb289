"""Messages of Google's Pub/Sub: Cloud Storage's own, pushed, pulled or by Kafka Connect, and others."""

import base64
import json

import pytest

from schemas.events import UPLOADED, ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from tests.unit.score.test_cloud_storage import WHEN
from worker.errors import Rejection
from worker.score.outcome import PassedOver, PassOverReason, Several
from worker.score.parse import Parser
from worker.score.parsed import PerhapsDeleted

PARSE = Parser("https://storage.googleapis.com/{bucket}/{key}")
UNCHANGED = PassedOver(PassOverReason.IMAGE_UNCHANGED)


def message(kind="OBJECT_FINALIZE", key="photos/a b+c.jpg", payload=None, **more):
    attributes = {
        "notificationConfig": "projects/_/buckets/shop/notificationConfigs/3",
        "eventType": kind,
        "payloadFormat": "NONE" if payload is None else "JSON_API_V1",
        "bucketId": "shop",
        "objectId": key,
        "objectGeneration": "1587627537231057",
        "eventTime": WHEN,
    }
    data = {} if payload is None else {"data": encoded(payload)}
    published = {"messageId": "7", "message_id": "7", "publishTime": "2026-01-02T03:04:06Z"}
    return {"attributes": {**attributes, **more}, **data, **published}


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def pushed(one):
    return record(json.dumps({"message": one, "subscription": "projects/p/subscriptions/s"}).encode())


def pulled(one):
    return record(json.dumps({"receivedMessages": [{"ackId": "x", "message": one}]}).encode())


def as_cloud_event(one):
    event = {"specversion": "1.0", "id": "7", "source": "//pubsub", "time": WHEN}
    kind = "google.cloud.pubsub.topic.v1.messagePublished"
    data = {"message": one, "subscription": "projects/p/subscriptions/s"}
    return record(json.dumps({**event, "type": kind, "data": data}).encode())


def connected(one):
    """Pub/Sub's connector, by a converter: attributes beside the data."""
    return record(json.dumps({"message": one.get("data", ""), **one["attributes"]}).encode())


def connected_with_headers(one):
    headers = [(name, value.encode()) for name, value in one["attributes"].items()]
    return record(base64.b64decode(one.get("data", "")) or None, headers=headers)


FORMS = [pushed, pulled, as_cloud_event, connected, connected_with_headers]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["photos/a b+c.jpg", "写真/靴.jpg", "100%25.jpg", "a//b.jpg"])
def test_an_object_that_is_there_is_an_upload(form, key):
    event = PARSE(form(message(key=key, payload={"kind": "storage#object", "name": key, "size": "9"})))
    assert isinstance(event, ImageUploaded)
    assert event == PARSE(form(message(key=key)))
    assert event.image_id == f"shop/{key}"
    assert event.event_id == f"shop/{key}#1587627537231057#OBJECT_FINALIZE"
    assert event.uploaded_at.year == 2026


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["OBJECT_DELETE", "OBJECT_ARCHIVE"])
def test_of_an_object_that_is_gone_the_store_is_asked(form, kind):
    event = PARSE(form(message(kind)))
    assert isinstance(event, PerhapsDeleted)
    assert event.deleted.image_id == "shop/photos/a b+c.jpg"
    assert not event.is_gone({"x-goog-generation": "1587627537231058"})
    assert isinstance(Parser(None)(form(message(kind))), ImageDeleted)


@pytest.mark.parametrize("form", FORMS)
def test_what_changes_no_image_is_passed_over(form):
    assert PARSE(form(message("OBJECT_METADATA_UPDATE"))) == UNCHANGED
    assert PARSE(form(message(key="photos/", payload={"size": "0"}))) == UNCHANGED
    replaced = message("OBJECT_DELETE", overwrittenByGeneration="1587627537231058")
    assert PARSE(form(replaced)) == PassedOver(PassOverReason.OBJECT_STILL_THERE)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_known_is_rejected(form):
    with pytest.raises(Rejection) as caught:
        PARSE(form(message("OBJECT_SOLD")))
    assert caught.value.reason is RejectionReason.ENVELOPE_UNKNOWN_TYPE
    with pytest.raises(Rejection) as caught:
        PARSE(form(message(key="a/../b.jpg")))
    assert caught.value.reason is RejectionReason.SOURCE_UNSUPPORTED
    with pytest.raises(Rejection) as caught:
        PARSE(form(message(eventTime="", key="a.jpg") | {"publishTime": ""}))
    assert caught.value.reason is RejectionReason.ENVELOPE_INVALID


OWN = {"event_id": "e1", "image_id": "i1", "uploaded_at": WHEN, "image": {"path": "1.jpg"}}


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize(
    "inner",
    [
        OWN,
        {"specversion": "1.0", "id": "7", "source": "/shop", "type": UPLOADED, "data": OWN},
        {"message": {"data": encoded(OWN), "messageId": "8"}},
    ],
)
def test_a_message_may_carry_any_event(form, inner):
    assert PARSE(form({"data": encoded(inner), "messageId": "7"})).image_id == "i1"


def test_several_messages_that_are_pulled_are_several_events():
    both = {"receivedMessages": [{"message": message(key=key)} for key in ("a.jpg", "b.jpg")]}
    several = PARSE(record(json.dumps(both).encode()))
    assert isinstance(several, Several)
    assert [PARSE(record(value)).image_id for value in several.values] == ["shop/a.jpg", "shop/b.jpg"]


@pytest.mark.parametrize("data", [None, "", "*", encoded(7), base64.b64encode(b"\xff").decode(), 7, {}])
def test_a_message_that_carries_no_event_is_rejected(data):
    with pytest.raises(Rejection) as caught:
        PARSE(pushed({"data": data, "messageId": "7", "attributes": {"eventType": "OBJECT_FINALIZE"}}))
    assert caught.value.reason is RejectionReason.ENVELOPE_NOT_JSON
    assert "Pub/Sub" in caught.value.detail
