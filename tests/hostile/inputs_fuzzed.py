"""Inputs that are nearly right: seeds of every form, mutated in their bytes and in their JSON."""

import json
import random
from copy import deepcopy
from typing import Any

from tests import events, images
from worker.score.cloud_storage import is_storage_event
from worker.stream.kafka import InputRecord
from worker.stream.retry import KIND

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**400, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "\0",
        "\ud800",
        "a" * 3000,
        "../..",
        "https://[::1]/",
        "http://a b/",
        "9" * 30,
        "🎽",
        "%00",
        "null",
    ),
    *([], {}, [[]], [None], {"": ""}, ["a"] * 20),
    *("2026-01-02T03:04:05Z", "2026-01-02", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60+23:59"),
    *("listing.image.deleted.v1", "s3:ObjectCreated:Put", "Microsoft.Storage.BlobCreated", "aws:s3"),
)


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes overwritten, doubled or left out, or the end cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(out)) if out else 0
        match chance.randrange(4):
            case 0 if out:
                out[at] = chance.choice((0, 34, 44, 91, 92, 123, 125, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del out[at : at + chance.randrange(1, 16)]
            case 2:
                out[at:at] = out[at : at + chance.randrange(1, 32)]
            case _:
                out[at:at] = chance.choice(
                    (b"null", b'"', b"[" * 50, b"\xed\xa0\x80", b"\\ud800", b"1e999", b",,")
                )
    return bytes(out[: chance.randrange(len(out) + 1)] if chance.random() < 0.1 else out)


def mutated_json(value: Any, chance: random.Random) -> Any:
    """One place of a JSON value replaced by something odd, left out, doubled, renamed, or another place's."""
    places = list(_places(value))
    container, key = chance.choice(places) if places else (None, None)
    if container is None:
        return deepcopy(chance.choice(_ODD))
    match chance.randrange(6):
        case 0 | 1:
            container[key] = deepcopy(chance.choice(_ODD))
        case 2:
            del container[key]
        case 3 if isinstance(container, list):
            container += container[: chance.choice((1, 2, 300))]
        case 4 if isinstance(container, dict):
            container[chance.choice(("type", "Records", "data", "specversion", "image", "Message", "x"))] = (
                container.pop(key)
            )
        case _:
            other, there = chance.choice(places)
            container[key] = json.loads(json.dumps(other.get(there) if isinstance(other, dict) else None))
    return value


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Either kind of mutation, once or a few times."""
    if chance.random() < 0.5:
        return mutated_bytes(data, chance)
    try:
        value = json.loads(data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            value = mutated_json(value, chance)
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return mutated_bytes(data, chance)


def envelopes() -> list[tuple[bytes, tuple[tuple[str, bytes], ...]]]:
    """A value and headers of every form that the worker reads."""
    photo = images.one_pixel(1)
    records = [
        events.uploaded("a", url="https://shop.test/a.jpg"),
        events.uploaded("a", path="a.jpg"),
        events.uploaded_bytes("a", photo),
        events.deleted("a"),
        events.structured("a", photo),
        events.binary("a", photo),
        events.binary_image("a", photo),
        events.notification("bucket", "a%20b.jpg"),
        events.notification("bucket", "a.jpg", "s3:ObjectRemoved:Delete"),
    ]
    seeds = [(record.value or b"", record.headers) for record in records]
    several = json.loads(seeds[7][0])
    several["Records"] *= 3
    wrapped = {"Type": "Notification", "Message": json.dumps(several)}
    eventbridge = {"detail-type": "Object Created", "source": "aws.s3", "time": events.WHEN, "id": "7",
                   "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}}  # fmt: skip
    azure = [{"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "eventTime": events.WHEN, "topic": "t",
              "subject": "/blobServices/default/containers/c/blobs/a.jpg", "dataVersion": "",
              "data": {"url": "https://x.blob.core.windows.net/c/a.jpg", "api": "PutBlob"}}]  # fmt: skip
    google = {"specversion": "1.0", "id": "1", "source": "//storage", "time": events.WHEN,
              "type": "google.cloud.storage.object.v1.finalized",
              "data": {"bucket": "b", "name": "n", "generation": "1"}}  # fmt: skip
    assert is_storage_event(str(google["type"]))
    bodies = (several, wrapped, {"Records": [{"body": json.dumps(wrapped)}]}, eventbridge, azure, google)
    seeds += [(json.dumps(body).encode(), ()) for body in bodies]
    return seeds


def record_of(value: bytes, headers: tuple[tuple[str, bytes], ...], chance: random.Random) -> InputRecord:
    """A record with `value`; its headers are now and then odd as well."""
    given = [(name, mutated_bytes(text, chance) if chance.random() < 0.1 else text) for name, text in headers]
    if chance.random() < 0.05:
        given.append((chance.choice(("content-type", "ce_specversion", "mekiki.timestamp", KIND)), b"1.0"))
    if given and chance.random() < 0.05:
        given.pop(chance.randrange(len(given)))
    time = chance.choice((1_700_000_000_000, -1, 0, 2**62))
    return InputRecord("uploads", 0, 0, b"k", chance.choice((value, value, value, None)), tuple(given), time)
