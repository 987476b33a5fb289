"""Uploads that are broken in one way each, and the reason that each must be rejected with."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from schemas.events import UPLOADED
from schemas.rejection import RejectionReason
from worker.demo import forms
from worker.demo.store import REDIRECT, ObjectStore
from worker.stream.kafka import OutputRecord

_FRAMES = 150


@dataclass(frozen=True)
class Broken:
    """`what` it is, in words for the report; `make` builds the record for the uploaded topic."""

    name: str
    what: str
    reason: RejectionReason
    make: Callable[[datetime], OutputRecord]


def broken_uploads(topic: str, sound: Path, store: ObjectStore, folder: Path) -> Iterator[Broken]:
    """Every kind of broken upload once. `sound` is a good image file that some are made from.

    What is fetched is written to `folder` and served by `store`.
    """
    yield from _broken_images(topic, sound)
    yield from _broken_references(topic, store, folder)
    yield from _broken_envelopes(topic)


def _broken_images(topic: str, sound: Path) -> Iterator[Broken]:
    def image(name: str, what: str, reason: RejectionReason, data: bytes) -> Broken:
        return _with_reference(topic, name, what, reason, {"data": base64.b64encode(data).decode("ascii")})

    with Image.open(sound) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((480, 480))
    jpeg, png = _encoded(picture, "JPEG"), _encoded(picture, "PNG")
    corrupt = RejectionReason.IMAGE_CORRUPT
    yield image("half-jpeg", "a JPEG cut off in the middle", corrupt, jpeg[: len(jpeg) // 2])
    yield image("half-png", "a PNG cut off in the middle", corrupt, png[: len(png) // 2])
    not_image = RejectionReason.IMAGE_NOT_AN_IMAGE
    yield image(
        "pdf", "a PDF called .jpg", not_image, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"
    )
    yield image("zip", "a ZIP archive called .jpg", not_image, b"PK\x03\x04" + bytes(60))
    yield image(
        "pixel",
        "a tracking pixel, 1 x 1",
        RejectionReason.IMAGE_TOO_SMALL,
        _encoded(picture.resize((1, 1)), "PNG"),
    )
    yield image(
        "huge", "a PNG of 50,000 x 50,000 in 75 bytes", RejectionReason.IMAGE_TOO_MANY_PIXELS, _huge_png()
    )
    yield image("film", f"a GIF of {_FRAMES} frames", RejectionReason.IMAGE_TOO_MANY_FRAMES, _film())
    yield image("nothing", "an image of no bytes", RejectionReason.SOURCE_EMPTY, b"")


def _broken_references(topic: str, store: ObjectStore, folder: Path) -> Iterator[Broken]:
    def reference(name: str, what: str, reason: RejectionReason, **image: str) -> Broken:
        return _with_reference(topic, name, what, reason, image)

    page = folder / "page.jpg"
    page.write_bytes(b"<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>")
    store.files["/broken/page.jpg"] = page
    url = f"{store.url}/broken/page.jpg"
    yield reference("html", "an error page saved as .jpg", RejectionReason.IMAGE_NOT_AN_IMAGE, url=url)
    missing = RejectionReason.FETCH_NOT_FOUND
    yield reference("lost-url", "a URL that answers 404", missing, url=f"{store.url}/broken/lost.jpg")
    yield reference("lost-path", "a path where no file is", missing, path="no/such/file.jpg")
    yield reference(
        "outside", "a path out of the folder", RejectionReason.FETCH_OUTSIDE_FOLDER, path="../../etc/passwd"
    )
    forbidden = RejectionReason.FETCH_FORBIDDEN_ADDRESS
    yield reference(
        "metadata", "a URL of the cloud's metadata service", forbidden, url="http://169.254.169.254/"
    )
    yield reference("redirect", "a redirect to the metadata service", forbidden, url=f"{store.url}{REDIRECT}")
    yield reference("ftp", "an ftp URL", RejectionReason.SOURCE_UNSUPPORTED, url="ftp://shop.example/1.jpg")
    yield reference(
        "base64", "data that is not base64", RejectionReason.SOURCE_BAD_BASE64, data="@@ not base64 @@"
    )


def _broken_envelopes(topic: str) -> Iterator[Broken]:
    def envelope(name: str, what: str, reason: RejectionReason, value: bytes) -> Broken:
        record = OutputRecord(topic, f"broken/{name}".encode(), value)
        return Broken(name, what, reason, lambda _: record)

    now = datetime.now(UTC)
    invalid = RejectionReason.ENVELOPE_INVALID
    yield envelope(
        "not-json", "text that is not JSON", RejectionReason.ENVELOPE_NOT_JSON, b"image=1.jpg&shop=7"
    )
    yield envelope("list", "a JSON list", invalid, b"[1, 2, 3]")
    yield envelope(
        "no-id",
        "an event without an image id",
        invalid,
        json.dumps({"type": UPLOADED, "event_id": "x"}).encode(),
    )
    entry = forms.bucket_entry("broken", "1.jpg", "ObjectCreated:Put", now)
    del entry["s3"]
    yield envelope(
        "no-object", "a bucket notification of no object", invalid, json.dumps({"Records": [entry]}).encode()
    )
    unknown = forms.structured_cloud_event(topic, "broken/unknown", "unknown", "shop.opened.v1", {}, now)
    assert unknown.value is not None
    yield envelope(
        "unknown", "a CloudEvent of another type", RejectionReason.ENVELOPE_UNKNOWN_TYPE, unknown.value
    )


def _with_reference(
    topic: str, name: str, what: str, reason: RejectionReason, image: dict[str, str]
) -> Broken:
    def make(now: datetime) -> OutputRecord:
        return forms.own_upload(topic, f"broken/{name}", f"broken-{name}", image, now)

    return Broken(name, what, reason, make)


def _encoded(image: Image.Image, form: str) -> bytes:
    packed = io.BytesIO()
    image.save(packed, form)
    return packed.getvalue()


def _huge_png() -> bytes:
    """A PNG header (RFC 2083) that promises 2.5 gigapixels, and almost nothing behind it."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b""))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _film() -> bytes:
    frames = [Image.new("L", (16, 16), number) for number in range(_FRAMES)]  # equal ones would be merged
    packed = io.BytesIO()
    frames[0].save(packed, "GIF", save_all=True, append_images=frames[1:], duration=40)
    return packed.getvalue()
