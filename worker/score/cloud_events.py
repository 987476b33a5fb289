"""CloudEvents 1.0 in the two modes of the Kafka binding: headers with the data as value, or all in one JSON.

Events of Azure Event Grid in its own, older schema have the same parts under other names.

Rules: cloudevents/spec v1.0.2, kafka-protocol-binding.md (content modes), json-format.md (data, nulls,
batches), spec.md (types of attributes).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.validate import Json, invalid, json_value

_STRUCTURED = "application/cloudevents"
_JSON_FORMATS = {"", "+json", "-batch", "-batch+json"}

# Extension attributes (lower case letters and digits) that are fields of an image.
_EXTENSIONS = {"category": "category", "listingid": "listing_id"}


_EVENT_GRID = {"id": "id", "source": "topic", "type": "eventType", "subject": "subject", "time": "eventTime"}


@dataclass(frozen=True)
class CloudEvent:
    """One event: its attributes as strings; its data as JSON (None: there is none), or an image in base64."""

    attributes: Mapping[str, str]
    data: Any = None
    image: str | None = None

    @property
    def event_id(self) -> str:
        """Source and id together are unique (spec.md, id)."""
        return f"{self.attributes['source']}#{self.attributes['id']}"

    @property
    def extensions(self) -> dict[str, str]:
        """Fields of the image that stand in extension attributes."""
        return {
            field: self.attributes[name] for name, field in _EXTENSIONS.items() if name in self.attributes
        }


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case: media types know no case (RFC 9110, 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


def is_cloud_event(body: Any) -> bool:
    """Whether a JSON value is a whole event."""
    return isinstance(body, Mapping) and ("specversion" in body or _is_of_event_grid(body))


def _is_of_event_grid(body: Json) -> bool:
    return "eventType" in body and "eventTime" in body and "data" in body


def is_structured(content_type: str) -> bool:
    """Whether a record's content-type says that the whole event is in its value.

    Raises:
        Rejection: it is, in an event format other than JSON.

    """
    kind = media_type(content_type)
    if not kind.startswith(_STRUCTURED):
        return False
    if kind.removeprefix(_STRUCTURED) not in _JSON_FORMATS:
        raise Rejection(
            RejectionReason.ENVELOPE_NOT_JSON,
            f"the CloudEvent is {kind[:100]!r}: send application/cloudevents+json",
        )
    return True


def from_binary(headers: Mapping[str, str], value: bytes | None) -> CloudEvent:
    """The event of a record in binary mode; `headers` have names in lower case.

    Raises:
        Rejection: an attribute is missing, or the value is neither an image nor JSON.

    """
    attributes = {name[3:]: text for name, text in headers.items() if name.startswith("ce_") and text}
    _require(attributes, "CloudEvents header ce_")
    kind = media_type(headers.get("content-type") or attributes.get("datacontenttype", ""))
    if kind.startswith("image/"):
        return CloudEvent(attributes, image=base64.b64encode(value or b"").decode("ascii"))
    return CloudEvent(attributes, json_value(value) if value else None)


def from_structured(body: Json) -> CloudEvent:
    """The event that `body` is.

    Raises:
        Rejection: an attribute is missing, or the data is neither an image nor JSON.

    """
    if _is_of_event_grid(body):
        body = {name: body.get(given) for name, given in _EVENT_GRID.items()} | {"data": body["data"]}
    names = body.keys() - {"data", "data_base64"}
    attributes = {name: text for name in names if (text := _as_text(body[name]))}
    _require(attributes, "CloudEvents attribute ")
    encoded = body.get("data_base64")
    if encoded is None:
        return CloudEvent(attributes, body.get("data"))
    if media_type(attributes.get("datacontenttype", "")).startswith("image/"):
        return CloudEvent(attributes, image=str(encoded))
    data = _decoded(str(encoded))
    return CloudEvent(attributes, json_value(data, "data_base64") if data else None)


def with_data(value: bytes | None, data: Json) -> bytes:
    """The value of a record like one of `value`, with other JSON as the event's data."""
    body = json.loads(value or b"{}")
    if not is_cloud_event(body):
        return json.dumps(data).encode()
    return json.dumps({**body, "data": data, "data_base64": None}).encode()


def _as_text(value: Any) -> str:
    """An attribute as its canonical string (spec.md, type system); empty for null, which means absent."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int) else ""


def _require(attributes: Mapping[str, str], what: str) -> None:
    for name in ("id", "source", "type"):
        if name not in attributes:
            raise invalid(f"{what}{name} is missing")


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise Rejection(RejectionReason.SOURCE_BAD_BASE64, f"data_base64: {error}") from error
