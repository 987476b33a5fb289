"""Wrappers: what queues and topics put around a notification on its way, taken off.

| sender                        | around it                                                     |
|-------------------------------|---------------------------------------------------------------|
| Amazon SQS, to Lambda         | `Records[]` of `eventSource` aws:sqs, each with a `body`      |
| Amazon SNS, to Lambda         | `Records[]` of `EventSource` aws:sns, each with `Sns.Message` |
| Amazon SNS                    | `Type` Notification, with a `Message`                         |
| Amazon SQS, received          | `Messages[]`, or one of it: `MessageId` and `Body`            |
| Google Pub/Sub, pushed        | `message`, with `messageId` and `data` in base64              |
| Google Pub/Sub, pulled        | `receivedMessages[]`, each with such a `message`              |
| Kafka Connect's JsonConverter | `schema` and `payload`; text is a JSON string                 |

They are found in one another: S3 tells SNS, SNS tells SQS. Sources: "Using Lambda with Amazon SQS", "Using
Lambda with Amazon SNS", "Amazon SNS message formats", "ReceiveMessage" in the guides of AWS; "Push
subscriptions", "PubsubMessage" in that of Pub/Sub. A message of Cloud Storage is no wrapper: its attributes
say it (`pubsub.py`).
"""

import json
from collections.abc import Mapping
from typing import Any

from worker.score.pubsub import is_storage_message
from worker.score.validate import Json, decoded, invalid, json_value

_MAX_DEPTH = 5
MAX_EVENTS = 10_000  # a batch of SQS at its largest; each may become a dead letter with headers of its own


def unwrapped(body: Json) -> list[Json]:
    """The notifications in `body`, each of one entry. What cannot be unwrapped is left as it is, alone.

    Raises:
        Rejection: there are more than anyone sends.

    """
    found = _unwrapped(body, 0)
    if len(found) > MAX_EVENTS:
        raise invalid(f"the record holds {len(found)} events, more than {MAX_EVENTS}")
    return found


def converted(body: Any) -> Any:
    """What Kafka Connect's JsonConverter, with schemas or without, made `body` of; else `body` itself.

    Raises:
        Rejection: it was text, and no JSON.

    """
    if isinstance(body, Mapping) and body.keys() == {"schema", "payload"}:
        body = body["payload"]
    return json_value(body, "the string") if isinstance(body, str) else body


def is_wrapper(entry: object) -> bool:
    """Whether one of `Records`, or a whole value, is a message of SQS, SNS or Pub/Sub that holds an event."""
    return _carried_text(entry) is not None


def _unwrapped(body: Json, depth: int) -> list[Json]:
    for name in ("Records", "Messages", "receivedMessages"):
        entries = body.get(name)
        if isinstance(entries, list) and entries:
            alone = entries if name == "receivedMessages" else [{name: [entry]} for entry in entries]
            return [
                found
                for entry, one in zip(entries, alone, strict=True)
                for found in _inside(one, _carried_text(entry), depth)
            ]
    return _inside(body, _carried_text(body), depth)


def _inside(alone: Json, text: object, depth: int) -> list[Json]:
    """The notifications in the `text` that `alone` carries; else `alone` itself."""
    if not isinstance(text, str) or depth == _MAX_DEPTH:
        return [alone]
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return [alone]
    return _unwrapped(body, depth + 1) if isinstance(body, dict) else [alone]


def _carried_text(message: Any) -> object:
    """What a message of SQS, SNS or Pub/Sub carries; None where `message` is none."""
    if not isinstance(message, Mapping):
        return None
    if message.get("eventSource") == "aws:sqs":
        return message.get("body", "")
    if message.get("EventSource") == "aws:sns":
        carried = message.get("Sns")
        return carried.get("Message", "") if isinstance(carried, Mapping) else ""
    if message.get("Type") == "Notification" and "Message" in message:
        return message["Message"]
    if "MessageId" in message and "Body" in message:
        return message["Body"]
    return _pubsub_text(message)


def _pubsub_text(body: Json) -> str | None:
    message = body.get("message")
    if not isinstance(message, Mapping) or not message.keys() & {"messageId", "message_id"}:
        return None
    return None if is_storage_message(body) else decoded(message.get("data"))
