"""Parse: a Kafka record to what it says about an image, or to the several events that it holds.

Understood are our own JSON, CloudEvents 1.0 (`cloud_events.py`), the notifications of object stores as they
are (`notifications.py`, `cloud_storage.py`, `pubsub.py`), and those inside messages of SQS, SNS and Pub/Sub
(`wrappers.py`).
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from schemas.events import DELETED, REVIEWED, UPLOADED, ImageDeleted, ImageReviewed, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.cloud_events import (
    CloudEvent,
    from_binary,
    from_structured,
    is_cloud_event,
    is_structured,
    media_type,
    with_data,
)
from worker.score.cloud_storage import is_storage_event, storage_event
from worker.score.notifications import is_notification, notification
from worker.score.outcome import Several
from worker.score.parsed import Parsed
from worker.score.pubsub import is_storage_message, storage_message
from worker.score.validate import Json, invalid, json_value, unknown_type, validated
from worker.score.wrappers import MAX_EVENTS, converted, unwrapped
from worker.stream.dead_letter import event_timestamp_ms
from worker.stream.kafka import UNREADABLE_HEADERS, InputRecord
from worker.stream.registry import is_wire_format


@dataclass(frozen=True)
class Parser:
    """`object_url` is the URL of an object with {bucket} and {key}, or None where there is none.

    `plain` gives the JSON of a value in the wire format of a schema registry, where there is one.
    A value of more than `max_bytes` is not read: as JSON it would take many times its size in memory.
    """

    object_url: str | None
    max_bytes: int = 32_000_000
    plain: Callable[[bytes], bytes] | None = None

    def __call__(self, record: InputRecord) -> Parsed:
        """What `record` says; where it holds several events, one record's value for each.

        Raises:
            Rejection: not JSON, another shape, or a type that is not known.

        """
        if record.size > self.max_bytes:
            raise Rejection(
                RejectionReason.ENVELOPE_TOO_LARGE,
                f"the value has {record.size} bytes, over the limit of {self.max_bytes}: "
                "send the image by URL, or raise score.max_event_bytes",
            )
        try:
            parsed = self._parsed(record)
            return self._flat(parsed, record) if isinstance(parsed, Several) else parsed
        except RecursionError as error:  # what could just be read may be too deep to be written again
            raise Rejection(RejectionReason.ENVELOPE_NOT_JSON, "the value is nested too deep") from error

    def _flat(self, several: Several, record: InputRecord) -> Several:
        """All events, where one of several holds several again: they are counted through all envelopes."""
        if record.entry is not None:
            raise invalid("one of several events of a record cannot be several")
        values: list[bytes] = []
        for value in several.values:
            try:
                parsed = self._parsed(replace(record, value=value))
            except Rejection:  # found again when it is an event of its own
                parsed = None
            values += self._flat(parsed, record).values if isinstance(parsed, Several) else (value,)
        if len(values) > MAX_EVENTS:
            raise invalid(f"the record holds {len(values)} events, more than {MAX_EVENTS}")
        return Several(tuple(values))

    def _parsed(self, record: InputRecord) -> Parsed:
        headers = {name.lower(): (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if UNREADABLE_HEADERS in headers:
            raise invalid(f"the name of a header is not UTF-8: {headers[UNREADABLE_HEADERS]}")
        record = self._read_by_schema(record, headers.get("content-type", ""))
        structured = is_structured(headers.get("content-type", ""))
        if "ce_specversion" in headers and not (structured and record.value and _is_whole(record.value)):
            return self._cloud_event(from_binary(headers, record.value), record)
        if is_storage_message(headers):  # by Pub/Sub's connector for Kafka, which makes attributes headers
            data = base64.b64encode(record.value or b"").decode("ascii")
            return storage_message({"message": {"attributes": headers, "data": data}}, self.object_url)
        return self._json(converted(json_value(record.value)), record)

    def _read_by_schema(self, record: InputRecord, content_type: str) -> InputRecord:
        """Images may begin with zeros as well (HEIC, AVIF), and are none of a schema."""
        if not is_wire_format(record.value) or media_type(content_type).startswith("image/"):
            return record
        if self.plain is None:
            raise Rejection(
                RejectionReason.ENVELOPE_NOT_JSON,
                "the value begins as in the wire format of a schema registry: set kafka.schema_registry.url",
            )
        return replace(record, value=self.plain(record.value or b""))

    def _json(self, body: Any, record: InputRecord) -> Parsed:
        if isinstance(body, list) and body and all(is_cloud_event(event) for event in body):
            if len(body) > 1:
                return _several([[event] for event in body])
            (body,) = body
        if not isinstance(body, dict):
            raise invalid(f"the value is a JSON {type(body).__name__}, not an object")
        if is_cloud_event(body):
            return self._cloud_event(from_structured(body), record)
        if not is_notification(body):
            return _own_event(body)
        found = unwrapped(body)
        if len(found) > 1:
            return _several(found)
        return self._one(found[0], record)

    def _one(self, body: Json, record: InputRecord) -> Parsed:
        """What came out of a notification's wrappers: any form of JSON."""
        if is_notification(body):
            return notification(body, self.object_url)
        if is_cloud_event(body):
            return self._cloud_event(from_structured(body), record)
        return _own_event(body)

    def _cloud_event(self, event: CloudEvent, record: InputRecord) -> Parsed:
        kind, data = event.attributes["type"], event.data
        if kind in {UPLOADED, DELETED, REVIEWED}:
            return _our_cloud_event(event, record)
        if is_storage_event(kind):
            return storage_event(event, _time(event, record), self.object_url)
        if isinstance(data, Mapping):
            # As Ceph and Knative send them: the notification, or one of its Records, as data.
            inner = {"Records": [data]} if "eventName" in data and "s3" in data else data
            if is_notification(inner):
                found = unwrapped(inner)
                if len(found) > 1:
                    return Several(tuple(with_data(record.value, one) for one in found))
                return self._one(found[0], record)
        raise _unknown(kind)


def _is_whole(value: bytes) -> bool:
    """Whether a value is a CloudEvent in structured mode, or several, and not the data of one."""
    body = json_value(value)
    return is_cloud_event(body[0] if isinstance(body, list) and body else body)


def _several(bodies: Sequence[Any]) -> Several:
    return Several(tuple(json.dumps(body).encode() for body in bodies))


def _own_event(body: Json) -> ImageUploaded | ImageDeleted | ImageReviewed:
    kind = body.get("type", UPLOADED)
    if kind == UPLOADED:
        return validated(ImageUploaded, body)
    if kind == DELETED:
        return validated(ImageDeleted, body)
    if kind == REVIEWED:
        return validated(ImageReviewed, body)
    raise _unknown(kind)


def _our_cloud_event(event: CloudEvent, record: InputRecord) -> ImageUploaded | ImageDeleted | ImageReviewed:
    """Attributes fill what the data leaves out: id, time, the image id from the subject, and extensions.

    Many serializers write what is left out as null. A deletion needs no data.
    """
    if event.data is not None and not isinstance(event.data, Mapping):
        raise invalid("the data of the CloudEvent is not a JSON object")
    time = _time(event, record)
    body: dict[str, Any] = {"uploaded_at": time, "deleted_at": time, "reviewed_at": time, **event.extensions}
    if subject := event.attributes.get("subject"):
        body["image_id"] = subject
    elif event.image is not None:
        raise invalid("the CloudEvent carries an image and needs its id in subject")
    body |= {name: value for name, value in (event.data or {}).items() if value is not None}
    if event.image is not None:
        body["image"] = {"data": event.image}
    return _own_event({**body, "type": event.attributes["type"], "event_id": event.event_id})


def _time(event: CloudEvent, record: InputRecord) -> str:
    """The event's time, else that of the record that first held it: a replay makes no event younger."""
    if given := event.attributes.get("time"):
        return given
    timestamp_ms = event_timestamp_ms(record)
    try:
        return datetime.fromtimestamp(max(timestamp_ms, 0) / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:  # a producer may set any 64-bit number
        raise invalid(
            f"the CloudEvent has no time, and the record's timestamp {timestamp_ms} ms is no time"
        ) from error


def _unknown(kind: object) -> Exception:
    return unknown_type(f"type {str(kind)[:100]!r} is none of {UPLOADED!r}, {DELETED!r}, {REVIEWED!r}")
