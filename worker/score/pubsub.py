"""Pub/Sub: what Google Cloud Storage says about an object in messages of Pub/Sub.

Source: cloud.google.com/storage/docs/pubsub-notifications. A message of anything else is a wrapper
(`wrappers.py`).
"""

import json
from collections.abc import Mapping

from worker.score.cloud_storage import google_change
from worker.score.objects import ObjectChange
from worker.score.outcome import PassedOver, PassOverReason
from worker.score.parsed import Parsed
from worker.score.validate import Json, decoded, unknown_type

# Attributes, in lower case: with these a message is of Cloud Storage.
_MESSAGE = ("eventtype", "bucketid", "objectid")


def is_storage_message(body: Json) -> bool:
    """Whether `body` holds a message of Pub/Sub that Cloud Storage has sent.

    It is pushed or pulled, or its attributes stand beside it, as Pub/Sub's connector for Kafka writes them.
    """
    return all(name in _attributes(body) for name in _MESSAGE)


def storage_message(body: Json, object_url: str | None) -> Parsed:
    """What a message of Pub/Sub says about an object.

    Raises:
        Rejection: it is of an unknown kind, or its object cannot be asked for.

    """
    message, given = body.get("message"), _attributes(body)
    kind, bucket, key = (str(given[name]) for name in _MESSAGE)
    if kind == "OBJECT_METADATA_UPDATE":
        return PassedOver(PassOverReason.IMAGE_UNCHANGED)
    if kind not in {"OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_ARCHIVE"}:
        raise unknown_type(f"{kind[:100]!r} of Cloud Storage is no event of an object that is known")
    if kind != "OBJECT_FINALIZE" and given.get("overwrittenbygeneration"):
        return PassedOver(PassOverReason.OBJECT_STILL_THERE)
    published = message.get("publishTime") if isinstance(message, Mapping) else None
    time = str(given.get("eventtime") or published or "")
    generation = str(given.get("objectgeneration") or "")
    size = _resource(body).get("size")
    change = ObjectChange(bucket, key, f"{bucket}/{key}#{generation or time}#{kind}", time, size=size)
    return google_change(kind == "OBJECT_FINALIZE", change, generation, object_url)


def _attributes(body: Json) -> Json:
    message = body.get("message")
    given = message.get("attributes") if isinstance(message, Mapping) else body
    return {str(name).lower(): value for name, value in given.items()} if isinstance(given, Mapping) else {}


def _resource(body: Json) -> Json:
    """The object's metadata, where the message carries it."""
    message = body.get("message")
    try:
        found = json.loads(decoded(message["data"] if isinstance(message, Mapping) else message) or "{}")
    except (ValueError, KeyError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
