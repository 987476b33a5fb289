"""What a record of any topic says about its image: a line for a person, beside its place in the log."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.settings import TopicSettings
from worker.stream.dead_letter import MESSAGE, REASON
from worker.stream.kafka import InputRecord

_MOST_TAGS = 5


@dataclass(frozen=True)
class Step:
    """One thing that happened to an image. `at` is the record's time; `place` is topic/partition/offset."""

    at: datetime
    place: str
    kind: str
    text: str


def step_of(record: InputRecord, topics: TopicSettings) -> Step:
    """What `record` of one of `topics` says. Never raises: what cannot be read is told so."""
    kind, text = _told(record, topics)
    at = datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC)
    return Step(at, f"{record.topic}/{record.partition}/{record.offset}", kind, text)


def _told(record: InputRecord, topics: TopicSettings) -> tuple[str, str]:
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    if record.topic == topics.dead_letter:
        return "rejected", f"{headers.get(REASON, '')}: {headers.get(MESSAGE, '')}"
    body = _body(record.value)
    tellers: dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
        topics.moderated: _verdict,
        topics.enriched: _tags,
        topics.embedded: _vector,
        topics.index_updated: _index,
        topics.reviews: _standing,
    }
    tell = tellers.get(record.topic)
    return _input(body, headers) if tell is None else tell(body)


def _tags(body: Mapping[str, Any]) -> tuple[str, str]:
    tags = [f"{tag.get('name')} {tag.get('score', 0):.2f}" for tag in body.get("tags", [])[:_MOST_TAGS]]
    return "tags", ", ".join(tags) or "none"


def _vector(body: Mapping[str, Any]) -> tuple[str, str]:
    return ("vector", f"of space {body.get('space')}") if body else ("tombstone", "must leave the index")


def _index(body: Mapping[str, Any]) -> tuple[str, str]:
    near = len(body.get("near_duplicates", []))
    return "index", f"{body.get('state')}" + (f", {near} near-duplicates" if near else "")


def _standing(body: Mapping[str, Any]) -> tuple[str, str]:
    return "review stands", _word(body) if body else "none"


def _verdict(body: Mapping[str, Any]) -> tuple[str, str]:
    reasons = [
        f"{reason.get('score')} {reason.get('value', 0):.3f} reached {reason.get('threshold'):g}"
        for reason in body.get("reasons", [])
    ]
    by = ""
    if review := body.get("review"):
        by = f" by {review.get('reviewer')}, the policy alone: {review.get('policy_decision')}"
    why = f" ({'; '.join(reasons)})" if reasons else ""
    rest = f"bundle {body.get('bundle_id')}, policy {str(body.get('policy_sha256'))[:12]}"
    return "verdict", f"{body.get('decision')}{by}{why}, {rest}"


def _input(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[str, str]:
    kind = str(body.get("type", "") or headers.get("ce_type", "")).split(".")
    name = kind[2] if kind[:2] == ["listing", "image"] and len(kind) > 2 else "input"
    if name == "reviewed":
        return name, _word(body)
    image = body.get("image")
    where = image.get("url") or image.get("path") if isinstance(image, dict) else None
    return name, str(where or "")


def _word(body: Mapping[str, Any]) -> str:
    reason = f": {body['reason']}" if body.get("reason") else ""
    return f"{body.get('decision')} by {body.get('reviewer')}{reason}"


def _body(value: bytes | None) -> dict[str, Any]:
    try:
        body = json.loads(value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
