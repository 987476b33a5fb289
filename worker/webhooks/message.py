"""What a receiver is told of a verdict that asks for a person."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from schemas.events import ImageModerated, ImageReference, InputPosition
from schemas.policy import Decision

TYPE = "listing.image.review_requested"

FindReference = Callable[[InputPosition], ImageReference | None]


@dataclass(frozen=True)
class Message:
    """A body and its id, which is the same however often it is sent."""

    id: str
    body: bytes


@dataclass(frozen=True)
class Teller:
    """Makes messages of verdicts with one of `decisions` that no person gave. `console` is a URL."""

    decisions: Collection[Decision]
    find_reference: FindReference
    console: str | None = None

    def __call__(self, value: bytes | None) -> Message | None:
        """The message about a record of the moderated topic; None where nobody is told of it.

        Raises:
            BrokerError: the image's event cannot be looked up.

        """
        try:
            verdict = ImageModerated.read(value)
        except ValidationError:
            return None
        if verdict.decided_by != "policy" or verdict.decision not in self.decisions:
            return None
        data = {**verdict.model_dump(mode="json"), "image": self._image(verdict)}
        if self.console is not None:
            at = quote(verdict.image_id, safe="")
            data["console_url"] = f"{self.console.rstrip('/')}/review?image={at}"
        told = {"type": TYPE, "timestamp": verdict.decided_at.isoformat(), "data": data}
        return Message(str(verdict.event_id), json.dumps(told, ensure_ascii=False).encode("utf-8", "replace"))

    def _image(self, verdict: ImageModerated) -> dict[str, Any] | None:
        """Where the image is; None where its event has gone, or has the bytes in itself."""
        image = self.find_reference(verdict.input)
        if image is None or image.data is not None:
            return None
        return image.model_dump(mode="json", exclude_none=True)
