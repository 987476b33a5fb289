"""HTTP of the registries that an operator names: streamed, with a private authority, by the standard library.

The environment's proxies are heeded (HTTPS_PROXY, NO_PROXY). Redirects are followed, never from https to
http. What authorises goes along to the same origin alone: registries send to a store whose URL is signed.
"""

import base64
import http.client
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from export.bundle.sources.source import CHUNK, NotThere, first_line
from worker.errors import BundleError, ConfigurationError

AUTHORIZATION = "Authorization"

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_GONE = {404, 410}
_PASSING = {429, 500, 502, 503, 504}
_PAUSES = (1.0, 4.0)
_SECONDS = 60.0  # of silence


class HttpClient:
    """Asks by GET. `ca_file` has a private authority in PEM, beside those of the machine."""

    def __init__(self, ca_file: Path | None) -> None:
        try:
            context = ssl.create_default_context()
            if ca_file is not None:
                context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"--ca-file {ca_file} cannot be read: {error}") from error
        # Neither files nor FTP, and no status that is an exception.
        self._opener = urllib.request.OpenerDirector()
        self._opener.addheaders = [("User-Agent", "mekiki")]
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
        ):
            self._opener.add_handler(handler)

    def ask(self, url: str, headers: Mapping[str, str]) -> AbstractContextManager[http.client.HTTPResponse]:
        """The answer at `url`, whatever its status, after redirects.

        Raises:
            BundleError: there is none, or it leads in circles or to where it must not.

        """
        for pause in (*_PAUSES, None):
            try:
                response = self._follow(url, dict(headers))
                if pause is None or response.status not in _PASSING:
                    return response
                response.close()
            except (OSError, http.client.HTTPException, ValueError) as error:
                refused = isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError)
                if pause is None or refused or isinstance(error, ValueError):
                    raise BundleError(f"{shown(url)} cannot be had: {first_line(error)}") from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _follow(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        at = url
        for _ in range(_MOST_REDIRECTS + 1):
            request = urllib.request.Request(at, headers=headers)  # noqa: S310 - of a scheme that has a handler
            response: http.client.HTTPResponse = self._opener.open(request, timeout=_SECONDS)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            onward = urljoin(at, response.headers.get("Location", ""))
            if urlsplit(onward).scheme not in {"https", urlsplit(at).scheme}:
                raise BundleError(f"{shown(url)} is redirected to {shown(onward)}, which is not https")
            if _origin(onward) != _origin(at):
                headers.pop(AUTHORIZATION, None)
            at = onward
        raise BundleError(f"{shown(url)} is redirected more than {_MOST_REDIRECTS} times")


def basic(user: str, password: str) -> dict[str, str]:
    """The header of RFC 7617."""
    return {AUTHORIZATION: f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def require_found(url: str, response: http.client.HTTPResponse, advice: str = "") -> None:
    """Refuse what is no answer of status 200.

    Raises:
        NotThere: it is 404 or 410.
        BundleError: it is another.

    """
    if response.status != 200:
        kind = NotThere if response.status in _GONE else BundleError
        raise kind(f"{shown(url)} cannot be had: {response.status} {response.reason}{advice}")


def chunks(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body, piece by piece.

    Raises:
        BundleError: the connection failed before its end.

    """
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise BundleError(f"{shown(url)} was cut off: {first_line(error)}") from error


def body(url: str, response: http.client.HTTPResponse, most: int) -> bytes:
    """The whole body.

    Raises:
        BundleError: it has over `most` bytes, or was cut off.

    """
    whole = b""
    for chunk in chunks(url, response):
        whole += chunk
        if len(whole) > most:
            raise BundleError(f"{shown(url)} has over {most} bytes")
    return whole


def shown(url: str) -> str:
    """For people: without user and query, where passwords, signatures and tokens are."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:500]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
