"""Asks the index role for what looks alike."""

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from worker.errors import ConfigurationError, StageError

_SECONDS = 10.0
_MOST_ANSWER = 4 << 20


@dataclass(frozen=True)
class Found:
    """An image that was found."""

    image_id: str
    distance: float


class Searching:
    """`url` is that of the index role, which an operator sets; None: there is none."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    @property
    def is_there(self) -> bool:
        """Whether there is somebody to ask."""
        return self._url is not None

    def by_id(self, image_id: str, count: int) -> list[Found]:
        """What is nearest to an image of the index.

        Raises:
            ConfigurationError: the index refuses, with why.
            StageError: it does not answer.

        """
        return self._asked({"image_id": image_id, "k": count})

    def by_image(self, data: bytes, count: int) -> list[Found]:
        """What is nearest to an encoded image. Raises as `by_id` does."""
        return self._asked({"image": base64.b64encode(data).decode("ascii"), "k": count})

    def _asked(self, body: dict[str, Any]) -> list[Found]:
        request = urllib.request.Request(  # noqa: S310 - the operator's own URL
            f"{(self._url or '').rstrip('/')}/search",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                answer = json.loads(response.read(_MOST_ANSWER))
            return [Found(str(one["image_id"]), float(one["distance"])) for one in answer["results"]]
        except urllib.error.HTTPError as error:
            raise ConfigurationError(_why(error.read(10_000))) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StageError(f"the index does not answer: {error}") from error


def _why(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the index refuses"
