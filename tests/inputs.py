"""Every input that must be rejected, with its reason, and every odd one that must work.

A case is made for an image id, so that one of a kind can be sent many times.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.rejection import RejectionReason
from tests import events, images
from tests.hostile_server import HostileServer
from tests.kafka.client import Record
from tests.network_guard import HOST

# Names that only the tests' resolver knows.
NAMES = {
    "images.test": [HOST],
    "private.test": ["10.0.0.8"],
    "metadata.test": ["169.254.169.254"],
    "localhost": ["127.0.0.1"],
}


@dataclass(frozen=True)
class World:
    """What cases refer to: a server on HOST and the configured folder."""

    server: HostileServer
    folder: Path


@contextmanager
def world(folder: Path, seed: int = 1) -> Iterator[World]:
    """A server with good.jpg and the odd images, and the same in `folder`, beside a secret outside it."""
    files = {f"{name}.jpg": make(seed) for name, make in images.GOOD.items()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder.parent / "secret.jpg").write_bytes(images.jpeg(seed))
    (folder / "leads-out.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    with HostileServer(files, HOST, huge_bytes=3_000_000) as server:
        yield World(server, folder)


Make = Callable[[str, World], Record]


def _json(body: object) -> Make:
    return lambda image_id, _: events.as_json(body, image_id)


def _inline(make: Callable[[int], bytes]) -> Make:
    return lambda image_id, _: events.uploaded_bytes(image_id, make(_seed(image_id)))


def _at(path: str) -> Make:
    return lambda image_id, world: events.uploaded(image_id, url=world.server.url(path))


def _redirect(to: str) -> Make:
    def make(image_id: str, world: World) -> Record:
        target = to.replace("PORT", str(world.server.port))
        return events.uploaded(image_id, url=world.server.url(f"/redirect?to={target}"))

    return make


def _url(url: str) -> Make:
    return lambda image_id, world: events.uploaded(image_id, url=url.replace("PORT", str(world.server.port)))


def _path(path: str) -> Make:
    return lambda image_id, _: events.uploaded(image_id, path=path)


def _raw(value: bytes | None) -> Make:
    return lambda image_id, _: Record(value, image_id.encode())


def _seed(image_id: str) -> int:
    return sum(image_id.encode())


def _without_image(image_id: str, _: World) -> Record:
    return events.as_json({**events.upload_body(image_id), "image": {}}, image_id)


def _two_images(image_id: str, _: World) -> Record:
    return events.uploaded(image_id, path="jpeg.jpg", data="AAAA")


def _naive_time(image_id: str, _: World) -> Record:
    body = {**events.upload_body(image_id, path="jpeg.jpg"), "uploaded_at": "2026-05-04 03:02:01"}
    return events.as_json(body, image_id)


def _no_records(image_id: str, _: World) -> Record:
    one = json.loads(events.notification("bucket", "a.jpg").value or b"")
    return events.as_json({**one, "Records": []}, image_id)


def _cut_base64(image_id: str, _: World) -> Record:
    return events.uploaded(image_id, data=base64.b64encode(images.jpeg(1)).decode()[:-3])


R = RejectionReason

BAD: dict[str, tuple[RejectionReason, Make]] = {
    "not json": (R.ENVELOPE_NOT_JSON, _raw(b"{image: ")),
    "not utf-8": (R.ENVELOPE_NOT_JSON, _raw(b'{"type": "\xff\xfe"}')),
    "nested too deep": (R.ENVELOPE_NOT_JSON, _raw(b"[" * 200_000)),
    "no value": (R.ENVELOPE_NOT_JSON, _raw(None)),
    "a json list": (R.ENVELOPE_INVALID, _json([1, 2])),
    "json of another shape": (R.ENVELOPE_INVALID, _json({"order": 7, "lines": [{"sku": "a"}]})),
    "no image": (R.ENVELOPE_INVALID, _without_image),
    "two images": (R.ENVELOPE_INVALID, _two_images),
    "a time without a zone": (R.ENVELOPE_INVALID, _naive_time),
    "an unknown type": (R.ENVELOPE_UNKNOWN_TYPE, _json({"type": "listing.sold.v1", "image_id": "x"})),
    "an unknown cloudevents type": (
        R.ENVELOPE_UNKNOWN_TYPE,
        lambda image_id, _: events.structured(image_id, images.jpeg(1), kind="com.example.sold"),
    ),
    "an unknown binary cloudevents type": (
        R.ENVELOPE_UNKNOWN_TYPE,
        lambda image_id, _: events.binary(image_id, images.jpeg(1), kind="com.example.sold"),
    ),
    "a bucket notification of none": (R.ENVELOPE_INVALID, _no_records),
    "a bucket event of another kind": (
        R.ENVELOPE_UNKNOWN_TYPE,
        lambda image_id, _: events.notification("bucket", image_id, "s3:ObjectSold:Now"),
    ),
    "wrong base64": (
        R.SOURCE_BAD_BASE64,
        lambda image_id, _: events.uploaded(image_id, data="this is not base64!"),
    ),
    "base64 cut short": (R.SOURCE_BAD_BASE64, _cut_base64),
    "no bytes": (R.SOURCE_EMPTY, lambda image_id, _: events.uploaded(image_id, data="")),
    "an empty file": (R.SOURCE_EMPTY, _path("empty.jpg")),
    "an empty body": (R.SOURCE_EMPTY, _at("/empty")),
    "a binary cloudevent without bytes": (
        R.SOURCE_EMPTY,
        lambda image_id, _: events.binary_image(image_id, b""),
    ),
    "too many inline bytes": (R.FETCH_TOO_LARGE, _inline(lambda _: bytes(2_000_001))),
    "an ftp url": (R.SOURCE_UNSUPPORTED, _url("ftp://images.test/a.jpg")),
    "a file url": (R.SOURCE_UNSUPPORTED, _url("file:///etc/passwd")),
    "a url with a password": (R.SOURCE_UNSUPPORTED, _url("http://me:secret@images.test:PORT/ok/jpeg.jpg")),
    "truncated jpeg": (R.IMAGE_CORRUPT, _inline(images.truncated_jpeg)),
    "truncated png": (R.IMAGE_CORRUPT, _inline(images.truncated_png)),
    "html called .jpg": (R.IMAGE_NOT_AN_IMAGE, _inline(images.html)),
    "html served as .jpg": (R.IMAGE_NOT_AN_IMAGE, _at("/html.jpg")),
    "50,000 x 50,000 png": (R.IMAGE_TOO_MANY_PIXELS, _inline(images.huge_png_header)),
    "1,000-frame gif": (R.IMAGE_TOO_MANY_FRAMES, _inline(images.thousand_frames_gif)),
    "1 x 1": (R.IMAGE_TOO_SMALL, _inline(images.one_pixel)),
    "a 404": (R.FETCH_NOT_FOUND, _at("/404")),
    "a 410, the image is deleted": (R.FETCH_NOT_FOUND, _at("/410")),
    "a missing file": (R.FETCH_NOT_FOUND, _path("no-such-file.jpg")),
    "a folder in place of a file": (R.FETCH_NOT_FOUND, _path(".")),
    "a 403": (R.FETCH_HTTP_STATUS, _at("/403")),
    "a 500": (R.FETCH_UNREACHABLE, _at("/500")),
    "a server that hangs up": (R.FETCH_UNREACHABLE, _at("/hang-up")),
    "a body cut short": (R.FETCH_UNREACHABLE, _at("/truncated")),
    "a name that does not exist": (R.FETCH_UNREACHABLE, _url("http://absent.test/a.jpg")),
    "a server that never answers": (R.FETCH_TIMEOUT, _at("/never")),
    "a server that sends a byte a second": (R.FETCH_TIMEOUT, _at("/drip")),
    "a header of a byte a second": (R.FETCH_TIMEOUT, _at("/slow-headers")),
    "more bytes than announced as the limit": (R.FETCH_TOO_LARGE, _at("/huge")),
    "more bytes than the limit in chunks": (R.FETCH_TOO_LARGE, _at("/huge-chunked")),
    "more bytes than the limit, not announced": (R.FETCH_TOO_LARGE, _at("/huge-unannounced")),
    "a redirect loop": (R.FETCH_TOO_MANY_REDIRECTS, _at("/loop")),
    "a redirect to 169.254.169.254": (
        R.FETCH_FORBIDDEN_ADDRESS,
        _redirect("http://169.254.169.254/latest/meta-data/"),
    ),
    "a redirect to localhost": (R.FETCH_FORBIDDEN_ADDRESS, _redirect("http://localhost:PORT/ok/jpeg.jpg")),
    "a redirect to 127.0.0.1": (R.FETCH_FORBIDDEN_ADDRESS, _redirect("http://127.0.0.1:PORT/ok/jpeg.jpg")),
    "a redirect to ::1": (R.FETCH_FORBIDDEN_ADDRESS, _redirect("http://[::1]:PORT/ok/jpeg.jpg")),
    "a name with a private address": (R.FETCH_FORBIDDEN_ADDRESS, _url("http://private.test/a.jpg")),
    "a name with a metadata address": (R.FETCH_FORBIDDEN_ADDRESS, _url("http://metadata.test/a.jpg")),
    "a private address": (R.FETCH_FORBIDDEN_ADDRESS, _url("https://192.168.1.1/a.jpg")),
    "a path outside the folder": (R.FETCH_OUTSIDE_FOLDER, _path("../secret.jpg")),
    "an absolute path": (R.FETCH_OUTSIDE_FOLDER, _path("/etc/hostname")),
    "a link out of the folder": (R.FETCH_OUTSIDE_FOLDER, _path("leads-out.jpg")),
}

GOOD: dict[str, Make] = {
    **{f"inline {name}": _inline(make) for name, make in images.GOOD.items()},
    "a file": _path("jpeg.jpg"),
    "a file by a roundabout path": _path("./../images/jpeg.jpg"),
    "a url": _at("/ok/jpeg.jpg"),
    "a url without content-length": _at("/chunked/jpeg.jpg"),
    "a url by name": _url("http://images.test:PORT/ok/jpeg.jpg"),
    "a url after a redirect": _redirect("/ok/jpeg.jpg"),
    "a structured cloudevent": lambda image_id, _: events.structured(image_id, images.jpeg(_seed(image_id))),
    "a binary cloudevent": lambda image_id, _: events.binary(image_id, images.jpeg(_seed(image_id))),
    "a binary cloudevent of image bytes": lambda image_id, _: events.binary_image(
        image_id, images.jpeg(_seed(image_id))
    ),
    "fields that we do not know": lambda image_id, _: events.as_json(
        {**events.upload_body(image_id, path="jpeg.jpg"), "colour": "red"}, image_id
    ),
}
