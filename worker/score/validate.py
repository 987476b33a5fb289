"""Validate: JSON text to values, and values to models; what does not fit is a typed rejection."""

import base64
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.rejection import RejectionReason
from worker.errors import Rejection

_Model = TypeVar("_Model", bound=BaseModel)

Json = Mapping[str, Any]


def json_value(text: bytes | str | None, what: str = "the value") -> Any:
    """The JSON in `text`; `what` names it for a person.

    Raises:
        Rejection: there is none (`envelope.not_json`).

    """
    if not text:
        raise Rejection(RejectionReason.ENVELOPE_NOT_JSON, f"{what} is empty")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Rejection(RejectionReason.ENVELOPE_NOT_JSON, f"{what} is not JSON: {error}") from error


def validated(model: type[_Model], body: Json) -> _Model:
    """`body` as a `model`.

    Raises:
        Rejection: it is none (`envelope.invalid`); the first five problems are named.

    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'event'}: {e['msg']}" for e in error.errors()[:5]
        )
        raise invalid(problems) from error


def decoded(text: object) -> str:
    """What base64 text says, in UTF-8; nothing where it is no such text."""
    try:
        return base64.b64decode(text, validate=True).decode() if isinstance(text, str) else ""
    except ValueError:
        return ""


def invalid(detail: str) -> Rejection:
    """A rejection for an envelope of another shape than its form says."""
    return Rejection(RejectionReason.ENVELOPE_INVALID, detail)


def unknown_type(detail: str) -> Rejection:
    """A rejection for an event that says nothing about images."""
    return Rejection(RejectionReason.ENVELOPE_UNKNOWN_TYPE, detail)
