"""Parse: a Kafka record to an upload or a deletion.

Three forms are understood: our own JSON, CloudEvents 1.0 (binary and structured mode of the Kafka
binding), and S3 or MinIO bucket notifications (`Records[]`).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, unquote_plus

from pydantic import BaseModel, ValidationError

from schemas.events import DELETED, UPLOADED, ImageDeleted, ImageReference, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.stream.kafka import UNREADABLE_HEADERS, InputRecord

InputEvent = ImageUploaded | ImageDeleted

_Model = TypeVar("_Model", bound=BaseModel)
_Json = Mapping[str, Any]


@dataclass(frozen=True)
class Parser:
    """`object_url` is the URL of an S3 object with {bucket} and {key}, or None where there is none."""

    object_url: str | None

    def __call__(self, record: InputRecord) -> InputEvent:
        """The event in `record`.

        Raises:
            Rejection: not JSON, another shape, or a type that is not known.

        """
        headers = {name.lower(): (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if UNREADABLE_HEADERS in headers:
            raise Rejection(
                RejectionReason.ENVELOPE_INVALID,
                f"the name of a header is not UTF-8: {headers[UNREADABLE_HEADERS]}",
            )
        if "ce_specversion" in headers:
            return self._binary_cloud_event(record, headers)
        body = _json_object(record.value)
        if "specversion" in body:
            return self._structured_cloud_event(record, body)
        if "Records" in body:
            return self._notification(body)
        return _own_event(body)

    def _binary_cloud_event(self, record: InputRecord, headers: Mapping[str, str]) -> InputEvent:
        attributes = {
            name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")
        }
        _require(attributes, ("id", "source", "type"), "CloudEvents header ce_")
        content_type = headers.get("content-type", "application/json")
        if content_type.startswith("image/"):
            return _image_body(attributes, record, base64.b64encode(record.value or b"").decode("ascii"))
        return _cloud_event(attributes, _json_object(record.value), record)

    def _structured_cloud_event(self, record: InputRecord, body: _Json) -> InputEvent:
        _require(body, ("id", "source", "type"), "CloudEvents attribute ")
        if "data_base64" in body:
            content_type = str(body.get("datacontenttype", ""))
            if content_type.startswith("image/"):
                return _image_body(body, record, str(body["data_base64"]))
            data = _json_object(_decoded(str(body["data_base64"])))
        else:
            data = body.get("data", {})
        if not isinstance(data, dict):
            raise Rejection(
                RejectionReason.ENVELOPE_INVALID, "the data of the CloudEvent is not a JSON object"
            )
        return _cloud_event(body, data, record)

    def _notification(self, body: _Json) -> InputEvent:
        entries = body["Records"]
        if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
            raise Rejection(
                RejectionReason.ENVELOPE_INVALID,
                "a bucket notification must hold exactly one entry in Records: "
                "configure the bucket to send one event a message",
            )
        entry = entries[0]
        try:
            name, bucket = str(entry["eventName"]), str(entry["s3"]["bucket"]["name"])
            item, time = entry["s3"]["object"], str(entry["eventTime"])
            key = unquote_plus(str(item["key"]))
        except (KeyError, TypeError) as error:
            raise Rejection(
                RejectionReason.ENVELOPE_INVALID, f"the bucket notification lacks {error}"
            ) from error
        event_id = f"{bucket}/{key}#{item.get('sequencer', time)}#{name}"
        identity = {"event_id": event_id, "image_id": f"{bucket}/{key}"}
        event = name.removeprefix("s3:")
        if event.startswith("ObjectCreated:"):
            return _validated(
                ImageUploaded, {**identity, "uploaded_at": time, "image": self._object(bucket, key)}
            )
        if event.startswith("ObjectRemoved:"):
            return _validated(ImageDeleted, {**identity, "type": DELETED, "deleted_at": time})
        raise Rejection(
            RejectionReason.ENVELOPE_UNKNOWN_TYPE,
            f"bucket event {name!r} is neither ObjectCreated nor ObjectRemoved",
        )

    def _object(self, bucket: str, key: str) -> _Json:
        if self.object_url is None:
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                "a bucket notification came, but fetch.object_url, the URL of its objects, is not set",
            )
        try:
            return {"url": self.object_url.format(bucket=quote(bucket, safe=""), key=quote(key))}
        except UnicodeEncodeError as error:  # JSON can escape half of a surrogate pair
            raise Rejection(
                RejectionReason.ENVELOPE_INVALID, f"the bucket or key of the object is not Unicode: {error}"
            ) from error


def _own_event(body: _Json) -> InputEvent:
    kind = body.get("type", UPLOADED)
    model = _model_of(kind)
    return _validated(model, body)


def _cloud_event(attributes: _Json, data: _Json, record: InputRecord) -> InputEvent:
    """Envelope attributes fill what `data` leaves out: id, time and, from the subject, the image id."""
    model = _model_of(str(attributes["type"]))
    time = attributes.get("time") or _record_time(record)
    filled = {"uploaded_at": time, "deleted_at": time, **data}
    if subject := attributes.get("subject"):
        filled.setdefault("image_id", subject)
    identity = {"type": attributes["type"], "event_id": f"{attributes['source']}#{attributes['id']}"}
    return _validated(model, {**filled, **identity})


def _image_body(attributes: _Json, record: InputRecord, data: str) -> InputEvent:
    """A CloudEvent whose data is the image itself: its subject is the image id."""
    _require(attributes, ("subject",), "the CloudEvent carries an image and needs its id in ")
    image = {"image": ImageReference(data=data)}
    extensions = {name: attributes[name] for name in ("category",) if name in attributes}
    if "listingid" in attributes:  # extension attributes are lower case letters and digits
        extensions["listing_id"] = attributes["listingid"]
    return _cloud_event(attributes, {**extensions, **image}, record)


def _model_of(kind: str) -> type[ImageUploaded] | type[ImageDeleted]:
    if kind == UPLOADED:
        return ImageUploaded
    if kind == DELETED:
        return ImageDeleted
    raise Rejection(
        RejectionReason.ENVELOPE_UNKNOWN_TYPE, f"type {kind!r} is neither {UPLOADED!r} nor {DELETED!r}"
    )


def _record_time(record: InputRecord) -> datetime:
    try:
        return datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:  # a producer may set any 64-bit number
        raise Rejection(
            RejectionReason.ENVELOPE_INVALID,
            f"the CloudEvent has no time, and the record's timestamp {record.timestamp_ms} ms is no time",
        ) from error


def _require(mapping: _Json, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if not mapping.get(name):
            raise Rejection(RejectionReason.ENVELOPE_INVALID, f"{what}{name} is missing")


def _json_object(value: bytes | None) -> dict[str, Any]:
    if not value:
        raise Rejection(RejectionReason.ENVELOPE_NOT_JSON, "the record has no value")
    try:
        body = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Rejection(RejectionReason.ENVELOPE_NOT_JSON, f"the value is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Rejection(
            RejectionReason.ENVELOPE_INVALID, f"the value is a JSON {type(body).__name__}, not an object"
        )
    return body


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise Rejection(RejectionReason.SOURCE_BAD_BASE64, f"data_base64: {error}") from error


def _validated(model: type[_Model], body: _Json) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'event'}: {e['msg']}" for e in error.errors()[:5]
        )
        raise Rejection(RejectionReason.ENVELOPE_INVALID, problems) from error
