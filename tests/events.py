"""Input events in every form that the worker understands, as records for Kafka."""

import base64
import json
from typing import Any

from tests.kafka.client import Record

WHEN = "2026-05-04T03:02:01Z"
OURS = "listing.image.uploaded.v1"
DELETED = "listing.image.deleted.v1"


def uploaded(
    image_id: str, *, partition: int = -1, headers: tuple[tuple[str, bytes], ...] = (), **image: str
) -> Record:
    """Our own JSON; `image` is one of url, path and data."""
    return as_json(upload_body(image_id, **image), image_id, partition, headers)


def uploaded_bytes(image_id: str, data: bytes, *, partition: int = -1) -> Record:
    """Our own JSON with the image inline."""
    return uploaded(image_id, partition=partition, data=base64.b64encode(data).decode())


def upload_body(image_id: str, **image: str) -> dict[str, Any]:
    return {
        "type": OURS,
        "event_id": f"event-of-{image_id}",
        "image_id": image_id,
        "listing_id": f"listing-of-{image_id}",
        "uploaded_at": WHEN,
        "image": image,
    }


def deleted(image_id: str, *, partition: int = -1) -> Record:
    body = {"type": DELETED, "event_id": f"deletion-of-{image_id}", "image_id": image_id, "deleted_at": WHEN}
    return as_json(body, image_id, partition)


def cloud_event_attributes(image_id: str, kind: str = OURS) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": f"event-of-{image_id}",
        "source": "shop/uploads",
        "type": kind,
        "time": WHEN,
        "subject": image_id,
    }


def structured(image_id: str, data: bytes, *, kind: str = OURS, partition: int = -1) -> Record:
    """A CloudEvent in structured mode with our JSON as data."""
    body = {
        **cloud_event_attributes(image_id, kind),
        "datacontenttype": "application/json",
        "data": {"image_id": image_id, "image": {"data": base64.b64encode(data).decode()}},
    }
    headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    return as_json(body, image_id, partition, headers)


def binary(image_id: str, data: bytes, *, kind: str = OURS, partition: int = -1) -> Record:
    """A CloudEvent in binary mode with our JSON as the value."""
    body = {"image_id": image_id, "image": {"data": base64.b64encode(data).decode()}}
    return as_json(body, image_id, partition, _binary_headers(image_id, kind, "application/json"))


def binary_image(
    image_id: str, data: bytes, *, content_type: str = "image/jpeg", partition: int = -1
) -> Record:
    """A CloudEvent in binary mode whose value is the image itself."""
    return Record(data, image_id.encode(), _binary_headers(image_id, OURS, content_type), partition)


def _binary_headers(image_id: str, kind: str, content_type: str) -> tuple[tuple[str, bytes], ...]:
    attributes = cloud_event_attributes(image_id, kind)
    return (
        *((f"ce_{name}", value.encode()) for name, value in attributes.items()),
        ("content-type", content_type.encode()),
    )


def notification(
    bucket: str, key: str, event: str = "s3:ObjectCreated:Put", *, partition: int = -1
) -> Record:
    """A bucket notification as MinIO sends it (S3's lacks the outer keys and the prefix `s3:`)."""
    body = {
        "EventName": event,
        "Key": f"{bucket}/{key}",
        "Records": [
            {
                "eventVersion": "2.0",
                "eventSource": "minio:s3",
                "awsRegion": "",
                "eventTime": WHEN,
                "eventName": event,
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {"name": bucket, "ownerIdentity": {"principalId": "minio"}},
                    "object": {"key": key, "size": 1, "eTag": "0", "sequencer": "17A0B1C2D3E4F506"},
                },
            }
        ],
    }
    return as_json(body, f"{bucket}/{key}", partition)


def as_json(
    body: object, key: str, partition: int = -1, headers: tuple[tuple[str, bytes], ...] = ()
) -> Record:
    return Record(json.dumps(body).encode(), key.encode(), headers, partition)
