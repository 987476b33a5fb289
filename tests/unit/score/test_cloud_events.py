"""CloudEvents as SDKs and brokers write them: modes, media types, attributes, and events without data."""

import base64
import json

import pytest

from schemas.events import DELETED, UPLOADED, ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.score.outcome import Several
from worker.score.parse import Parser

PNG = b"\x89PNG\r\n"
ENCODED = base64.b64encode(PNG).decode()
IMAGE = {"path": "a.jpg"}


def attributes(**more):
    return {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": UPLOADED,
        "subject": "i1",
        "time": "2026-01-02T03:04:05Z",
        **more,
    }


def binary(value, content_type=None, **more):
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes(**more).items()]
    if content_type:
        headers.append(("content-type", content_type.encode()))
    return Parser(None)(record(raw, headers=headers))


def structured(content_type="application/cloudevents+json", headers=(), **more):
    headers = [*headers, ("content-type", content_type.encode())]
    return Parser(None)(record(json.dumps(attributes(**more)).encode(), headers=headers))


# A deletion needs no data


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        (None, None),
        (None, "application/json"),
        (None, "image/jpeg"),
        (b"", "application/json"),
        (b"", "text/plain"),
        (b"null", "application/json"),
        (b"{}", "application/json"),
        (b'{"image_id": null}', None),
        (None, "application/cloudevents+json"),
    ],
)
def test_a_deletion_in_binary_mode_needs_no_data(value, content_type):
    event = binary(value, content_type, type=DELETED)
    assert isinstance(event, ImageDeleted)
    assert (event.image_id, event.event_id) == ("i1", "/shop#7")
    assert event.deleted_at.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    "more", [{}, {"data": None}, {"data": {}}, {"data_base64": ""}, {"data_base64": None}]
)
def test_a_deletion_in_structured_mode_needs_no_data(more):
    assert isinstance(structured(type=DELETED, **more), ImageDeleted)


@pytest.mark.parametrize("value", [None, b"", b"null", b"{}"])
def test_an_upload_needs_its_image(value):
    with pytest.raises(Rejection, match="image: Field required") as raised:
        binary(value)
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID


# content-type says structured, whatever else stands in the headers


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON;charset=utf-8",
        " application/cloudevents+json",
        "application/cloudevents-batch+json",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        (),
        [("ce_specversion", b"1.0"), ("ce_type", b"other"), ("ce_id", b"9"), ("ce_source", b"/else")],
        [("ce_specversion", b"1.0")],
    ],
)
def test_the_content_type_says_that_an_event_is_structured(content_type, headers):
    event = structured(content_type, headers, data={"image": IMAGE})
    assert isinstance(event, ImageUploaded)
    assert (event.event_id, event.image_id, event.image.path) == ("/shop#7", "i1", "a.jpg")


def test_headers_hold_where_the_content_type_is_wrong_about_the_value():
    """A bridge that copied the content-type of its request."""
    event = binary({"image": IMAGE}, "application/cloudevents+json")
    assert (event.event_id, event.image.path) == ("/shop#7", "a.jpg")


@pytest.mark.parametrize("form", ["avro", "protobuf", "xml"])
def test_an_event_format_that_is_not_json_says_what_to_send(form):
    with pytest.raises(Rejection, match=rf"\+{form}.*send application/cloudevents\+json") as raised:
        structured(f"application/cloudevents+{form}")
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


def test_a_batch_holds_several_events():
    events = [attributes(id=str(number), data={"image": IMAGE}) for number in range(3)]
    kind = [("content-type", b"application/cloudevents-batch+json")]
    several = Parser(None)(record(json.dumps(events).encode(), headers=kind))
    assert isinstance(several, Several)
    found = [Parser(None)(record(value, headers=kind, entry=n)) for n, value in enumerate(several.values)]
    assert [event.event_id for event in found] == ["/shop#0", "/shop#1", "/shop#2"]
    assert Parser(None)(record(json.dumps(events[:1]).encode(), headers=kind)).event_id == "/shop#0"


# Media types know no case and have parameters


@pytest.mark.parametrize(
    "content_type", ["Image/JPEG", "IMAGE/PNG", "image/WebP; name=a.webp", " image/gif ;x=y", "image/jpeg"]
)
def test_image_types_know_no_case(content_type):
    for event in (
        binary(PNG, content_type),
        structured(datacontenttype=content_type, data_base64=ENCODED),
    ):
        assert event.image.data == ENCODED


@pytest.mark.parametrize(
    "content_type",
    ["Application/JSON", "application/json; charset=UTF-8", "APPLICATION/vnd.shop.image+JSON", "text/JSON"],
)
def test_json_types_know_no_case(content_type):
    encoded = base64.b64encode(json.dumps({"image": IMAGE}).encode()).decode()
    for event in (
        binary({"image": IMAGE}, content_type),
        structured(datacontenttype=content_type, data_base64=encoded),
    ):
        assert event.image.path == "a.jpg"


# Extension attributes count in every form


EXTENSIONS = {"category": "shoes", "listingid": "9"}
FORMS = {
    "binary, JSON": lambda **more: binary({"image": IMAGE}, "application/json", **more),
    "binary, JSON, no content type": lambda **more: binary({"image": IMAGE}, **more),
    "binary, image": lambda **more: binary(PNG, "image/png", **more),
    "structured, JSON": lambda **more: structured(data={"image": IMAGE}, **more),
    "structured, nulls": lambda **more: structured(
        data={"image": IMAGE, "category": None, "listing_id": None, "image_id": None}, **more
    ),
    "structured, JSON in base64": lambda **more: structured(
        data_base64=base64.b64encode(json.dumps({"image": IMAGE}).encode()).decode(), **more
    ),
    "structured, image": lambda **more: structured(datacontenttype="image/png", data_base64=ENCODED, **more),
}


@pytest.mark.parametrize("form", FORMS)
def test_extension_attributes_count_in_every_form(form):
    event = FORMS[form](**EXTENSIONS)
    assert (event.category, event.listing_id, event.image_id) == ("shoes", "9", "i1")
    without = FORMS[form]()
    assert (without.category, without.listing_id) == (None, None)


def test_a_deletion_takes_the_listing_from_its_extension():
    assert binary(None, type=DELETED, listingid="9").listing_id == "9"


def test_the_data_says_it_better_than_an_extension():
    event = structured(data={"image": IMAGE, "category": "books"}, **EXTENSIONS)
    assert (event.category, event.listing_id) == ("books", "9")


@pytest.mark.parametrize(("given", "read"), [(9, "9"), (0, "0"), (-4, "-4"), (True, "true"), ("x", "x")])
def test_an_attribute_has_a_string_form(given, read):
    """spec.md, type system: integers and booleans are JSON's own in structured mode."""
    assert structured(data={"image": IMAGE}, listingid=given).listing_id == read


@pytest.mark.parametrize("given", [None, "", {}, []])
def test_an_attribute_that_is_null_or_empty_is_absent(given):
    event = structured(data={"image": IMAGE}, listingid=given, category=given)
    assert (event.listing_id, event.category) == (None, None)
