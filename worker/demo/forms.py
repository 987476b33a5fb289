"""Input events in each form that the worker understands, as records for the uploaded topic."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from schemas.events import DELETED, UPLOADED
from worker.stream.kafka import Headers, OutputRecord

SOURCE = "demo-shop"
_SEQUENCER = "00"


def own_upload(
    topic: str, image_id: str, event_id: str, image: dict[str, str], now: datetime
) -> OutputRecord:
    """Our own JSON; `image` holds one of url, path and data."""
    body = {
        "type": UPLOADED,
        "event_id": event_id,
        "image_id": image_id,
        "listing_id": f"listing of {image_id}",
        "uploaded_at": now.isoformat(),
        "image": image,
    }
    return json_record(topic, image_id, body)


def own_inline_upload(topic: str, image_id: str, event_id: str, file: Path, now: datetime) -> OutputRecord:
    """Our own JSON with the image inside, as base64."""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return own_upload(topic, image_id, event_id, {"data": data}, now)


def own_deletion(topic: str, image_id: str, event_id: str, now: datetime) -> OutputRecord:
    """Our own JSON: the image is gone."""
    body = {"type": DELETED, "event_id": event_id, "image_id": image_id, "deleted_at": now.isoformat()}
    return json_record(topic, image_id, body)


def structured_cloud_event(
    topic: str, image_id: str, event_id: str, kind: str, data: dict[str, Any], now: datetime
) -> OutputRecord:
    """CloudEvents 1.0, structured mode: attributes and data in one JSON object."""
    body = {**_attributes(image_id, event_id, kind, now), "datacontenttype": "application/json", "data": data}
    return json_record(topic, image_id, body, (("content-type", b"application/cloudevents+json"),))


def binary_cloud_event(topic: str, image_id: str, event_id: str, file: Path, now: datetime) -> OutputRecord:
    """CloudEvents 1.0, binary mode: attributes as headers, the image itself as the value."""
    subtype = {".png": b"png", ".webp": b"webp", ".gif": b"gif"}.get(file.suffix.lower(), b"jpeg")
    attributes = _attributes(image_id, event_id, UPLOADED, now)
    headers: Headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    headers += (("content-type", b"image/" + subtype),)
    return OutputRecord(topic, image_id.encode(), file.read_bytes(), headers)


def bucket_notification(topic: str, bucket: str, key: str, event: str, now: datetime) -> OutputRecord:
    """An S3 or MinIO bucket notification; `event` is such as ObjectCreated:Put."""
    return json_record(topic, f"{bucket}/{key}", {"Records": [bucket_entry(bucket, key, event, now)]})


def bucket_entry(bucket: str, key: str, event: str, now: datetime) -> dict[str, Any]:
    """One of a notification's `Records`."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": now.isoformat(),
        "eventName": event,
        "s3": {
            "bucket": {"name": bucket},
            "object": {"key": quote_plus(key, safe="/"), "sequencer": _SEQUENCER},
        },
    }


def cloud_event_id(event_id: str) -> str:
    """The event id that stands on the outcomes of a CloudEvent: source and id make it unique."""
    return f"{SOURCE}#{event_id}"


def notification_id(bucket: str, key: str, event: str) -> str:
    """The event id that stands on the outcomes of a bucket notification."""
    return f"{bucket}/{key}#{_SEQUENCER}#{event}"


def json_record(topic: str, key: str, body: object, headers: Headers = ()) -> OutputRecord:
    """A record with a JSON value."""
    return OutputRecord(topic, key.encode(), json.dumps(body).encode(), headers)


def _attributes(image_id: str, event_id: str, kind: str, now: datetime) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "time": now.isoformat(),
        "subject": image_id,
    }
