"""Image URLs, taken apart once and strictly, so that every later step means the same host."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from schemas.rejection import RejectionReason
from worker.errors import Rejection

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_NAME = re.compile(r"(?!.{254})([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?\Z")
_IPV6 = re.compile(r"[0-9a-f:.]{2,45}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_SHOWN_LENGTH = 200
# RFC 3986: what may stand in a path or a query as it is; "%" for what is escaped already.
_AS_IT_IS = "/:@!$&'()*+,;=~-._?%"


@dataclass(frozen=True)
class ImageUrl:
    """A URL that may be asked for; `host` is in lower case and ASCII, IPv6 without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str, schemes: Collection[str]) -> Self:
        """Take `text` apart.

        Raises:
            Rejection: it is no absolute URL, its scheme is not among `schemes`, or it carries a user name.

        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise _unsupported(f"{_start_of(text)} is not a URL: {error}") from error
        if parts.scheme not in schemes:
            raise _unsupported(
                f"{_start_of(text)}: its scheme {parts.scheme!r} is none of {', '.join(schemes)}; "
                "send another URL, or add the scheme to fetch.schemes"
            )
        if "@" in parts.netloc:
            raise _unsupported(f"the URL for {parts.hostname} carries a user name: leave it out")
        if port == 0 or _CONTROL.search(text.strip()):
            raise _unsupported(f"{_start_of(text)} has port 0, a backslash or a control character")
        target = quote(parts.path or "/", _AS_IT_IS) + (
            "?" + quote(parts.query, _AS_IT_IS) if parts.query else ""
        )
        return cls(parts.scheme, _host(parts), port or _DEFAULT_PORTS[parts.scheme], target)

    def join(self, location: str, schemes: Collection[str]) -> Self:
        """Resolve a redirect's `Location` (RFC 9110, 10.2.2).

        Raises:
            Rejection: as `parse`.

        """
        base = f"{self.scheme}://{self.authority}{self.target}"
        try:
            return self.parse(urljoin(base, location), schemes)
        except ValueError as error:
            raise _unsupported(f"{self} redirects to what is not a URL: {error}") from error

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """For people: without the query, where signatures and tokens are."""
        path = unquote(self.target.partition("?")[0], errors="replace")
        shown = f"{self.scheme}://{self.authority}{_CONTROL.sub('?', path)}"
        return shown if len(shown) <= _SHOWN_LENGTH else shown[:_SHOWN_LENGTH] + "..."


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise _unsupported(f"{host!r} is not a host name: {error}") from error
    fits = _IPV6 if ":" in host else _NAME
    if not fits.match(host):
        raise _unsupported(f"{host!r} is not a host name")
    return host


def _start_of(text: str) -> str:
    """For people: what comes before the query, without a user name and password."""
    shown = re.sub(r"[^/]*@", "", text.partition("?")[0].partition("#")[0])
    return repr(shown if len(shown) <= _SHOWN_LENGTH else shown[:_SHOWN_LENGTH] + "...")


def _unsupported(detail: str) -> Rejection:
    return Rejection(RejectionReason.SOURCE_UNSUPPORTED, detail)
