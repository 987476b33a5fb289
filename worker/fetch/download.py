"""Download: an image from a stranger's URL, within a budget of seconds, bytes, redirects and retries.

Whose fault is it?

| what happens                                             | outcome                                  |
|----------------------------------------------------------|------------------------------------------|
| bad URL, scheme or user name; a compressed answer        | `source.unsupported`                     |
| no such name                                             | `fetch.unreachable`                      |
| refused, reset, unreachable host, not HTTP, 429, 5xx,    | StoreFailed (`fetch.unreachable`),       |
| a bad certificate                                        | after retries                            |
| no permitted address, here or after a redirect           | `fetch.forbidden_address`                |
| no header or no connection in time, not all there by the | StoreFailed (`fetch.timeout`)            |
| deadline                                                 |                                          |
| 404, 410; any other status that is not 200               | `fetch.not_found`; `fetch.http_status`   |
| the name server gives no answer                          | StoreFailed (`fetch.unreachable`)        |
| no files, memory, ports, network or IPv4 route left here | StageError                               |
| `close` was called, and a retry would be needed          | StageError                               |
| no memory for so many bytes now                          | NoRoom: try again when there is          |

StoreFailed is nobody's fault yet: `lanes.py` says what becomes of it. A network that silently drops what we
send looks like a server that never answers, and a name server of ours that is away like one of each producer:
no worker can tell them apart from one image.
"""

import io
import random
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import httpcore2

from schemas.rejection import RejectionReason
from worker.errors import MekikiError, Rejection, StageError, StoreFailed
from worker.fetch.addresses import NameServerError
from worker.fetch.connections import raise_if_ours
from worker.fetch.framing import Body, framed
from worker.fetch.headers import combined, compressions, locations, retry_after
from worker.fetch.urls import ImageUrl

USER_AGENT: Final = "mekiki"
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {404, 410}
_TOO_MANY_REQUESTS = 429
_FIRST_PAUSE = 0.1
# Of a message that may quote what the server sent.
_SHOWN_LENGTH = 200


TakeRoom = Callable[[int], None]


def unbounded(_: int) -> None:
    """Room for any number of bytes."""


_Taken = TypeVar("_Taken")
# What is taken from the answer of a status 200.
_Take = Callable[[ImageUrl, httpcore2.Response, Body], _Taken]


@dataclass(frozen=True)
class DownloadLimits:
    """What one image may cost: seconds and bytes in all, redirects followed, attempts after the first.

    `first_byte_timeout` is how long one request may take until its answer's header is there, in seconds.
    """

    schemes: tuple[str, ...] = ("https",)
    timeout: float = 10.0
    first_byte_timeout: float = 3.0
    max_bytes: int = 20_000_000
    max_redirects: int = 3
    retries: int = 2


class NoAnswer(MekikiError):
    """This attempt failed in a way that may pass; not before `retry_after` seconds, if the server said so."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


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
    whether the name server answers for other names than `host`, None where nobody can say; `served(host)` is
    told of each host that something came from. `refused` says what statuses mean, redirects among them, that
    are not 200, 404, 410, 429 or 5xx.
    """

    def __init__(
        self,
        pool: httpcore2.ConnectionPool,
        limits: DownloadLimits,
        answers_otherwise: Callable[[str], bool | None],
        served: Callable[[str], None] = lambda _: None,
        refused: Callable[[ImageUrl, httpcore2.Response], Exception] | None = None,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._answers_otherwise = answers_otherwise
        self._served = served
        self._refused = refused
        self._closing = threading.Event()

    def download(self, url: str, take_room: TakeRoom = unbounded) -> bytes:
        """Download the body at `url`, at most `limits.max_bytes` bytes, in at most `limits.timeout` seconds.

        `take_room` is asked for its bytes before the body is read, and may refuse by an exception of its own.

        Raises:
            StoreFailed: its server fails for now.
            Rejection: the URL is at fault.
            StageError: this machine is at fault.

        """
        return self._follow(url, partial(self._body, take_room))

    def host(self, url: str) -> str:
        """Whom `url` asks, with the port where it is not the scheme's own.

        Raises:
            Rejection: it is no URL that may be asked for.

        """
        return ImageUrl.parse(url, self._limits.schemes).authority

    def look(self, url: str) -> Mapping[str, str]:
        """The header of the answer at `url`, names in lower case; its body is not read.

        By GET: what serves images need not answer HEAD.

        Raises:
            Rejection: as `download`.
            StageError: as `download`.

        """
        return self._follow(url, _header)

    def _follow(self, url: str, take: _Take[_Taken]) -> _Taken:
        attempts = _Attempts(self._limits, self._closing)
        at = first = ImageUrl.parse(url, self._limits.schemes)
        for _ in range(self._limits.max_redirects + 1):
            found = self._visit(at, attempts, take)
            if not isinstance(found, ImageUrl):
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

    def _visit(self, url: ImageUrl, attempts: _Attempts, take: _Take[_Taken]) -> _Taken | ImageUrl:
        """Ask for one URL until it answers: what is taken from it, or where it redirects to."""
        while True:
            try:
                return self._ask(url, attempts.deadline, take)
            except (NoAnswer, NameServerError) as error:
                if getattr(error, "retry_after", None) or not attempts.another():
                    raise self._given_up(url, error) from error

    def _given_up(self, url: ImageUrl, error: NoAnswer | NameServerError) -> Exception:
        if self._closing.is_set():
            return StageError(f"the fetcher was closed while it asked for {url}")
        failed = partial(StoreFailed, RejectionReason.FETCH_UNREACHABLE, host=url.authority)
        if isinstance(error, NoAnswer):
            return failed(f"{url}: {error}; send again once it answers", retry_after=error.retry_after)
        match self._answers_otherwise(url.host):
            case True:
                return failed(f"{url}: {error}, though it answers for other names")
            case False:
                why = f"{error}, nor about other names: mend the worker's DNS (/etc/resolv.conf)"
                return failed(why, is_ours=True)
        return failed(f"{url}: {error}")

    def _ask(self, url: ImageUrl, deadline: float, take: _Take[_Taken]) -> _Taken | ImageUrl:
        first_byte = min(deadline, monotonic() + self._limits.first_byte_timeout)
        # The client looks here before each read: the body has a later deadline than the header.
        times = dict.fromkeys(("connect", "read", "write"), first_byte)
        try:
            with self._pool.stream(
                "GET",
                httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
                headers=_headers(url),
                extensions={"timeout": times},
            ) as response:
                times["read"] = deadline
                with framed(response) as body:
                    return self._judge(url, response, body, take)
        except httpcore2.TimeoutException as error:
            raise StoreFailed(
                RejectionReason.FETCH_TIMEOUT, self._too_late(url, first_byte, deadline), url.authority
            ) from error
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            raise _judged(url, error) from error

    def _too_late(self, url: ImageUrl, first_byte: float, deadline: float) -> str:
        limits, now = self._limits, monotonic()
        if now >= deadline:
            return f"{url} did not answer within its time ({limits.timeout:g} s in all): raise fetch.timeout"
        if now >= first_byte:
            return (
                f"{url} did not begin to answer within {limits.first_byte_timeout:g} s: "
                "raise fetch.first_byte_timeout"
            )
        return f"{url} gave no connection in time: raise fetch.connect_timeout"

    def _judge(
        self, url: ImageUrl, response: httpcore2.Response, body: Body, take: _Take[_Taken]
    ) -> _Taken | ImageUrl:
        status = response.status
        if self._refused and status != 200 and status < 500 and status not in {*_GONE, _TOO_MANY_REQUESTS}:
            raise self._refused(url, response)
        if status in _REDIRECTS and (targets := locations(response.headers)):
            return self._redirected(url, targets)
        if status == _TOO_MANY_REQUESTS or status >= 500:
            raise NoAnswer(f"its server answers with status {status}", retry_after(response.headers))
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
        taken = take(url, response, body)
        self._served(url.host)
        return taken

    def _redirected(self, url: ImageUrl, targets: list[str]) -> ImageUrl:
        if len(targets) > 1:  # as in browsers: it cannot be told which one is meant
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED, f"{url} redirects to {len(targets)} places at once"
            )
        return url.join(targets[0], self._limits.schemes)

    def _body(self, take_room: TakeRoom, url: ImageUrl, response: httpcore2.Response, body: Body) -> bytes:
        if compressed := compressions(response.headers):
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                f"{url} answers with Content-Encoding {', '.join(compressed)} unasked: "
                "serve the image as it is",
            )
        limit = self._limits.max_bytes
        if body.announced <= limit:
            take_room(body.length or limit)
            data = io.BytesIO()
            for part in response.iter_stream():
                data.write(part)
                if max(data.tell(), body.announced) > limit:
                    break
            else:
                return data.getvalue()
        size = f"{body.length} bytes" if body.length else "more"
        raise Rejection(
            RejectionReason.FETCH_TOO_LARGE,
            f"{url} has {size}, over the limit of {limit} bytes: "
            "send a smaller image, or raise fetch.max_bytes",
        )


def _headers(url: ImageUrl) -> list[tuple[str, str]]:
    return [
        ("Host", url.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),
    ]


def _header(_: ImageUrl, response: httpcore2.Response, __: Body) -> dict[str, str]:
    return combined(response.headers)


def _judged(url: ImageUrl, error: Exception) -> Exception:
    """Turn a failed connection into a retry, or at once into a rejection when none will help."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return StoreFailed(
            RejectionReason.FETCH_UNREACHABLE,
            f"{url}: its server's certificate does not hold: {cause.verify_message}",
            url.authority,
        )
    if isinstance(cause, OSError):
        raise_if_ours(cause)
    return NoAnswer(f"the connection failed: {str(cause)[:_SHOWN_LENGTH]}")
