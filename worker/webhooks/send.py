"""Sends one message to one receiver, and says what came of it."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import httpcore2

from worker.fetch.headers import retry_after
from worker.webhooks.message import Message
from worker.webhooks.signature import signed_headers

logger = logging.getLogger(__name__)

# What another attempt may mend: it is busy, or somebody has to mend its address or our rights first.
_MENDABLE = frozenset({401, 403, 404, 408, 409, 410, 425, 429})
_MOST_WAIT = 3600.0
_UNANSWERED = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError)


class Answer(StrEnum):
    """What a receiver made of a message."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Attempt:
    """The answer; `wait` is how many seconds the receiver wants to be left alone."""

    answer: Answer
    why: str = ""
    wait: float = 0.0


Send = Callable[[Message], Attempt]


class Sender:
    """Posts to `url`. Follows no redirect: the operator names where messages go."""

    def __init__(self, url: str, secrets: list[bytes], timeout: float) -> None:
        self._url = url
        self._secrets = secrets
        self._limits = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(), max_connections=1, keepalive_expiry=30
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def __call__(self, message: Message) -> Attempt:
        """Send it once. Never raises what a receiver can cause."""
        headers = {
            "content-type": "application/json",
            "content-length": str(len(message.body)),
            "user-agent": "mekiki",
            **signed_headers(self._secrets, message.id, int(time.time()), message.body),
        }
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                headers=list(headers.items()),
                content=message.body,
                extensions={"timeout": self._limits},
            )
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            OSError,
        ) as error:
            return Attempt(Answer.FAILED, f"{type(error).__name__}: {error}")
        return _attempt(answer)


def _attempt(answer: httpcore2.Response) -> Attempt:
    if 200 <= answer.status < 300:
        return Attempt(Answer.DELIVERED)
    why = f"it answered {answer.status}"
    if 400 <= answer.status < 500 and answer.status not in _MENDABLE:
        return Attempt(Answer.REFUSED, why)
    return Attempt(Answer.FAILED, why, min(retry_after(answer.headers) or 0.0, _MOST_WAIT))
