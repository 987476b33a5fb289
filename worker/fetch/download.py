"""Download: an image from a stranger's URL, within a budget of seconds, bytes, redirects and retries.

Whose fault is it?

| what happens                                             | outcome                                  |
|----------------------------------------------------------|------------------------------------------|
| bad URL, scheme, user name, Content-Encoding             | `source.unsupported`                     |
| no such name, bad certificate                            | `fetch.unreachable`                      |
| refused, reset, unreachable host, not HTTP, 429, 5xx     | `fetch.unreachable`, after retries       |
| no permitted address, here or after a redirect           | `fetch.forbidden_address`                |
| not all there by the deadline, no connection in time     | `fetch.timeout`                          |
| 404, 410; any other status that is not 200               | `fetch.not_found`; `fetch.http_status`   |
| the name server gives no answer                          | `fetch.unreachable` if it still answers  |
|                                                          | for other names; else StageError         |
| no files, memory, ports, network or IPv4 route left here | StageError                               |
| `close` was called, and a retry would be needed          | StageError                               |

A network that silently drops what we send looks like a server that never answers: no worker can tell
the two apart from one image, and `score.rejection_limit` stops the worker when they are many.
"""

import io
import random
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpcore

from schemas.rejection import RejectionReason
from worker.errors import MekikiError, Rejection, StageError
from worker.fetch.addresses import NameServerError
from worker.fetch.connections import raise_if_ours
from worker.fetch.urls import ImageUrl

USER_AGENT: Final = "mekiki"
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {404, 410}
_TOO_MANY_REQUESTS = 429
_FIRST_PAUSE = 0.1
# Of a message that may quote what the server sent.
_SHOWN_LENGTH = 200


@dataclass(frozen=True)
class DownloadLimits:
    """What one image may cost: seconds and bytes in all, redirects followed, attempts after the first."""

    schemes: tuple[str, ...] = ("https",)
    timeout: float = 10.0
    max_bytes: int = 20_000_000
    max_redirects: int = 3
    retries: int = 2


class NoAnswer(MekikiError):
    """This attempt failed in a way that may pass."""


class _Attempts:
    """The deadline and the retries of one image; `closing` ends a pause."""

    def __init__(self, limits: DownloadLimits, closing: threading.Event) -> None:
        self.deadline = monotonic() + limits.timeout
        self._left = limits.retries
        self._pause = _FIRST_PAUSE
        self._closing = closing

    def another(self) -> bool:
        """Pause, doubling each time, with jitter; False when no retry or no time is left, or at closing."""
        pause = self._pause * random.uniform(0.5, 1.0)
        if self._left == 0 or monotonic() + pause >= self.deadline:
            return False
        self._left -= 1
        self._pause *= 2
        return not self._closing.wait(pause)


class Downloader:
    """Downloads images over a pool of kept connections. Used from many threads at once.

    `pool` must take its time limits as points in time (`VettedBackend`); `answers_otherwise(host)` says
    whether the name server answers for other names than `host`.
    """

    def __init__(
        self,
        pool: httpcore.ConnectionPool,
        limits: DownloadLimits,
        answers_otherwise: Callable[[str], bool],
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._answers_otherwise = answers_otherwise
        self._closing = threading.Event()

    def download(self, url: str) -> bytes:
        """Download the body at `url`, at most `limits.max_bytes` bytes, in at most `limits.timeout` seconds.

        Raises:
            Rejection: the URL or its server is at fault.
            StageError: this machine is at fault.

        """
        attempts = _Attempts(self._limits, self._closing)
        at = first = ImageUrl.parse(url, self._limits.schemes)
        for _ in range(self._limits.max_redirects + 1):
            found = self._visit(at, attempts)
            if isinstance(found, bytes):
                return found
            at = found
        raise Rejection(
            RejectionReason.FETCH_TOO_MANY_REDIRECTS,
            f"{first} redirects more than {self._limits.max_redirects} times, at last to {at}: "
            "send the last URL, or raise fetch.max_redirects",
        )

    def close(self) -> None:
        """Close idle connections and end pauses: downloads under way end with their present attempt."""
        self._closing.set()
        for connection in self._pool.connections:
            if connection.is_idle():
                connection.close()

    def _visit(self, url: ImageUrl, attempts: _Attempts) -> bytes | ImageUrl:
        """Ask for one URL until it answers: its body, or where it redirects to."""
        while True:
            try:
                return self._ask(url, attempts.deadline)
            except (NoAnswer, NameServerError) as error:
                if not attempts.another():
                    raise self._given_up(url, error) from error

    def _given_up(self, url: ImageUrl, error: NoAnswer | NameServerError) -> Exception:
        if self._closing.is_set():
            return StageError(f"the fetcher was closed while it asked for {url}")
        if isinstance(error, NoAnswer):
            return Rejection(RejectionReason.FETCH_UNREACHABLE, f"{url}: {error}; send again once it answers")
        if self._answers_otherwise(url.host):
            return Rejection(
                RejectionReason.FETCH_UNREACHABLE, f"{url}: {error}, though it answers for other names"
            )
        return StageError(
            f"{error}, nor about other names: mend the worker's DNS (/etc/resolv.conf) and start it again"
        )

    def _ask(self, url: ImageUrl, deadline: float) -> bytes | ImageUrl:
        try:
            with self._pool.stream(
                "GET",
                httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
                headers=_headers(url),
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), deadline)},
            ) as response:
                return self._judge(url, response)
        except httpcore.TimeoutException as error:
            late = "within its time" if monotonic() >= deadline else "with a connection in time"
            raise Rejection(
                RejectionReason.FETCH_TIMEOUT,
                f"{url} did not answer {late} ({self._limits.timeout:g} s in all): "
                "send again, or raise fetch.timeout and fetch.connect_timeout",
            ) from error
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise _judged(url, error) from error

    def _judge(self, url: ImageUrl, response: httpcore.Response) -> bytes | ImageUrl:
        headers = {name.lower(): value for name, value in response.headers}
        status = response.status
        if status in _REDIRECTS and b"location" in headers:
            return url.join(headers[b"location"].decode("latin-1"), self._limits.schemes)
        if status == _TOO_MANY_REQUESTS or status >= 500:
            raise NoAnswer(f"its server answers with status {status}")
        if status in _GONE:
            raise Rejection(
                RejectionReason.FETCH_NOT_FOUND,
                f"{url}: no image is there (status {status}); upload it again",
            )
        if status != 200:
            raise Rejection(
                RejectionReason.FETCH_HTTP_STATUS,
                f"{url} answers with status {status}, not 200: send a URL that needs no permission",
            )
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                f"{url} answers with Content-Encoding {headers[b'content-encoding']!r} unasked: "
                "serve the image as it is",
            )
        return self._body(url, response, int(headers.get(b"content-length", b"0")))

    def _body(self, url: ImageUrl, response: httpcore.Response, announced: int) -> bytes:
        limit = self._limits.max_bytes
        if announced <= limit:
            body = io.BytesIO()
            for chunk in response.iter_stream():
                body.write(chunk)
                if body.tell() > limit:
                    break
            else:
                return body.getvalue()
        raise Rejection(
            RejectionReason.FETCH_TOO_LARGE,
            f"{url} has {f'{announced} bytes' if announced else 'more'}, over the limit of {limit} bytes: "
            "send a smaller image, or raise fetch.max_bytes",
        )


def _headers(url: ImageUrl) -> list[tuple[str, str]]:
    return [
        ("Host", url.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),
    ]


def _judged(url: ImageUrl, error: Exception) -> Exception:
    """Turn a failed connection into a retry, or at once into a rejection when none will help."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Rejection(
            RejectionReason.FETCH_UNREACHABLE,
            f"{url}: its server's certificate does not hold: {cause.verify_message}",
        )
    if isinstance(cause, OSError):
        raise_if_ours(cause)
    return NoAnswer(f"the connection failed: {str(cause)[:_SHOWN_LENGTH]}")
