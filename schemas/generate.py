"""Write the JSON Schemas, the Avro schemas and the AsyncAPI document from the pydantic models.

`python -m schemas.generate` writes them beside this file; a test holds them to the models.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from schemas import events
from schemas.avro_schema import avro_schema
from schemas.bundle import BundleManifest
from schemas.policy import Policy

JSON_FOLDER = Path(__file__).parent / "json"
AVRO_FOLDER = Path(__file__).parent / "avro"
ASYNCAPI_FILE = Path(__file__).parent / "asyncapi.yaml"

MODELS: dict[str, type[BaseModel]] = {
    events.UPLOADED: events.ImageUploaded,
    events.DELETED: events.ImageDeleted,
    events.REVIEWED: events.ImageReviewed,
    events.MODERATED: events.ImageModerated,
    events.ENRICHED: events.ImageEnriched,
    events.EMBEDDED: events.ImageEmbedded,
    events.INDEX_UPDATED: events.IndexUpdated,
    events.REVIEWS: events.StandingReview,
    events.SHADOWED: events.ImageShadowed,
    "bundle.manifest": BundleManifest,
    "policy": Policy,
}

_OUTPUTS = (
    events.MODERATED,
    events.ENRICHED,
    events.EMBEDDED,
    events.REVIEWS,
    events.SHADOWED,
    events.INDEX_UPDATED,
)
_INPUTS = (events.UPLOADED, events.DELETED, events.REVIEWED)

_DEAD_LETTER_HEADERS = {
    "type": "object",
    "description": "Header names of KIP-1034, beside the event's own headers. The record's time is that of "
    "the rejection, so that the dead letter lives as long as its topic's retention.",
    "required": [
        "__streams.errors.exception",
        "__streams.errors.message",
        "mekiki.reason",
        "mekiki.event_id",
    ],
    "properties": {
        "__streams.errors.exception": {"type": "string", "description": "class of the error"},
        "__streams.errors.message": {"type": "string", "description": "what, where and what to do"},
        "__streams.errors.stacktrace": {"type": "string", "description": "empty: the input is at fault"},
        "__streams.errors.topic": {"type": "string", "description": "topic the event came from"},
        "__streams.errors.partition": {"type": "string", "description": "its partition, as decimal text"},
        "__streams.errors.offset": {"type": "string", "description": "its offset, as decimal text"},
        "mekiki.reason": {"type": "string", "description": "typed reason, such as image.corrupt"},
        "mekiki.event_id": {
            "type": "string",
            "format": "uuid",
            "description": "UUID version 5 of topic/partition/offset, and /entry where the record held "
            "several events: the same rejection has the same id",
        },
        "mekiki.timestamp": {
            "type": "string",
            "description": "time of the record that first held the event, Unix milliseconds as decimal text; "
            "left out where it had none. It stays on a replayed event, whose record has the time of sending",
        },
        "mekiki.entry": {
            "type": "string",
            "description": "where the record held several events: which of them, counted from 0. The value "
            "is then an envelope of this event alone, so that it can be sent back",
        },
    },
}

_TOMBSTONE_HEADERS = {
    "type": "object",
    "description": "CloudEvents attributes, and what caused the tombstone: it has no value that could say.",
    "required": ["mekiki.cause_time", "mekiki.cause_event_id", "mekiki.cause_position"],
    "properties": {
        "mekiki.cause_time": {
            "type": "string",
            "format": "date-time",
            "description": "uploaded_at or deleted_at of the input event",
        },
        "mekiki.cause_event_id": {"type": "string", "description": "event_id of the input event"},
        "mekiki.cause_position": {
            "type": "string",
            "description": "topic/partition/offset of the input record, and /entry where it held several",
        },
    },
}


_RETRY_HEADERS = {
    "type": "object",
    "description": "Beside the event's own headers. A mark says that an image has had something newer since "
    "one of its events was parked; it has no value, and the first four of these alone.",
    "required": [
        "mekiki.retry.kind",
        "mekiki.retry.image_id",
        "mekiki.retry.event_time",
        "mekiki.retry.offset",
    ],
    "properties": {
        "mekiki.retry.kind": {"type": "string", "enum": ["parked", "overtaken"]},
        "mekiki.retry.image_id": {"type": "string"},
        "mekiki.retry.event_time": {
            "type": "string",
            "format": "date-time",
            "description": "uploaded_at, reviewed_at or deleted_at of the event",
        },
        "mekiki.retry.offset": {
            "type": "string",
            "description": "where the event stands in the uploaded topic, as decimal text",
        },
        "mekiki.retry.topic": {"type": "string", "description": "of a parked event: the uploaded topic"},
        "mekiki.retry.partition": {"type": "string", "description": "its partition there, and here"},
        "mekiki.retry.entry": {"type": "string", "description": "which of a record's several events"},
        "mekiki.retry.event_type": {"type": "string", "description": "type of the event"},
        "mekiki.retry.attempts": {"type": "string", "description": "how often it was parked"},
        "mekiki.retry.since": {"type": "string", "description": "when first, Unix milliseconds"},
        "mekiki.retry.due": {"type": "string", "description": "when it comes back, Unix milliseconds"},
        "mekiki.reason": {"type": "string", "description": "what failed last, such as fetch.timeout"},
        "__streams.errors.message": {"type": "string", "description": "the same as a sentence"},
        "mekiki.timestamp": {"type": "string", "description": "as of a dead letter"},
    },
}


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what goes over the wire."""
    schema = model.model_json_schema(
        mode="serialization" if model in map(MODELS.get, _OUTPUTS) else "validation"
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the two roles."""
    schemas = {name: {"$ref": f"./json/{name}.schema.json"} for name in (*_INPUTS, *_OUTPUTS)}
    messages: dict[str, Any] = {
        name: {"name": name, "contentType": "application/json", "payload": schemas[name]} for name in schemas
    }
    messages["rejected"] = {
        "name": "rejected",
        "summary": "The rejected event's own key, bytes and headers, and why.",
        "headers": _DEAD_LETTER_HEADERS,
        "payload": {},
    }
    messages["tombstone"] = {
        "name": "tombstone",
        "summary": "No value: the image of this key is not searchable (blocked, in review, or deleted).",
        "headers": _TOMBSTONE_HEADERS,
        "payload": {"type": "null"},
    }
    messages["parked"] = {
        "name": "parked",
        "summary": "An event whose store fails, with its own key, bytes and headers; or a mark.",
        "headers": _RETRY_HEADERS,
        "payload": {},
    }
    messages["noReview"] = {
        "name": "noReview",
        "summary": "No value: no word of a person stands for the image of this key.",
        "payload": {"type": "null"},
    }
    channels = {
        "uploaded": _channel(events.UPLOADED, *_INPUTS),
        "moderated": _channel(events.MODERATED, events.MODERATED),
        "enriched": _channel(events.ENRICHED, events.ENRICHED),
        "embedded": _channel(events.EMBEDDED, events.EMBEDDED, "tombstone"),
        "reviews": _channel(events.REVIEWS, events.REVIEWS, "noReview"),
        "shadowed": _channel(events.SHADOWED, events.SHADOWED),
        "retry": _channel(f"{events.UPLOADED}.retry", "parked"),
        "deadLetter": _channel(f"{events.UPLOADED}.dlq", "rejected"),
        "indexUpdated": _channel(events.INDEX_UPDATED, events.INDEX_UPDATED),
        "indexDeadLetter": _channel(f"{events.EMBEDDED}.dlq", "rejected"),
    }
    operations = {
        "scoreReceives": _operation("receive", "uploaded"),
        "scoreRemembers": _operation("receive", "reviews"),
        "scoreTriesAgain": _operation("receive", "retry"),
        **{
            f"score{_title(name)}": _operation("send", name)
            for name in ("moderated", "enriched", "embedded", "shadowed", "reviews", "retry", "deadLetter")
        },
        "indexReceives": _operation("receive", "embedded"),
        **{f"index{_title(name)}": _operation("send", name) for name in ("indexUpdated", "indexDeadLetter")},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mekiki",
            "version": "1.0.0",
            "description": "Image uploads in; verdicts, tags, vectors and index updates out. "
            "Output records carry CloudEvents 1.0 attributes as headers (binary mode of the Kafka binding).",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(address: str, *messages: str) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def rendered() -> dict[Path, str]:
    """Every generated file and what stands in it."""
    files = {
        JSON_FOLDER / f"{name}.schema.json": json.dumps(json_schema(model), indent=2, ensure_ascii=False)
        + "\n"
        for name, model in MODELS.items()
    }
    files |= {
        AVRO_FOLDER / f"{name}.avsc": json.dumps(avro_schema(MODELS[name]), indent=2, ensure_ascii=False)
        + "\n"
        for name in (*_INPUTS, *_OUTPUTS)
        if name not in (events.REVIEWS, events.SHADOWED)  # always plain JSON
    }
    files[ASYNCAPI_FILE] = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=100)
    return files


def main() -> None:
    """Write every file."""
    JSON_FOLDER.mkdir(exist_ok=True)
    AVRO_FOLDER.mkdir(exist_ok=True)
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
