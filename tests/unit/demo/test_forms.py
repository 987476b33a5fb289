"""Every form is understood by the worker's own parser, with the ids that the demo looks for."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events import UPLOADED, ImageDeleted, ImageUploaded
from worker.demo import forms
from worker.score.parse import Parser
from worker.score.parsed import Parsed
from worker.stream.kafka import InputRecord, OutputRecord

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
BYTES = bytes(range(200))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "目 1+2.png"
    path.write_bytes(BYTES)
    return path


def parsed(made: OutputRecord) -> Parsed:
    record = InputRecord(made.topic, 0, 0, made.key, made.value, made.headers, 1)
    return Parser("http://store.test/{bucket}/{key}")(record)


def uploaded(made: OutputRecord) -> ImageUploaded:
    event = parsed(made)
    assert isinstance(event, ImageUploaded)
    assert made.key == event.image_id.encode()
    return event


def test_our_own_json_by_reference() -> None:
    event = uploaded(forms.own_upload("t", "目", "e-1", {"path": "a.jpg"}, NOW))
    assert (event.image_id, event.event_id, event.image.path, event.uploaded_at) == (
        "目",
        "e-1",
        "a.jpg",
        NOW,
    )


def test_our_own_json_with_the_bytes_inside(file: Path) -> None:
    event = uploaded(forms.own_inline_upload("t", "目", "e-1", file, NOW))
    assert base64.b64decode(event.image.data or "") == BYTES


def test_our_own_deletion() -> None:
    event = parsed(forms.own_deletion("t", "目", "e-1", NOW))
    assert isinstance(event, ImageDeleted)
    assert (event.image_id, event.event_id) == ("目", "e-1")


def test_a_structured_cloud_event() -> None:
    made = forms.structured_cloud_event("t", "目", "e-1", UPLOADED, {"image": {"path": "a.jpg"}}, NOW)
    event = uploaded(made)
    assert (event.event_id, event.image.path) == (forms.cloud_event_id("e-1"), "a.jpg")


def test_a_binary_cloud_event_is_the_image_itself(file: Path) -> None:
    made = forms.binary_cloud_event("t", "image-1", "e-1", file, NOW)
    assert made.value == BYTES
    assert dict(made.headers)["content-type"] == b"image/png"
    event = uploaded(made)
    assert event.event_id == forms.cloud_event_id("e-1")
    assert base64.b64decode(event.image.data or "") == BYTES


@pytest.mark.parametrize("key", ["1.jpg", "shirts/red 1+2.jpg", "目利き.jpg"])
def test_a_bucket_notification_names_its_object(key: str) -> None:
    event = uploaded(forms.bucket_notification("t", "bucket", key, "ObjectCreated:Put", NOW))
    assert event.image_id == f"bucket/{key}"
    assert event.event_id == forms.notification_id("bucket", key, "ObjectCreated:Put")


def test_a_bucket_notification_of_a_removal() -> None:
    event = parsed(forms.bucket_notification("t", "bucket", "1.jpg", "ObjectRemoved:Delete", NOW))
    assert isinstance(event, ImageDeleted)
    assert event.image_id == "bucket/1.jpg"
