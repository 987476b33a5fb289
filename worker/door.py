"""The door of the HTTP side: who may ask, for which host, with what body, and at what cost at most.

A request comes in whole before anything works on it, within `body_seconds`. Bodies over LIGHT bytes share
`memory`: where there is no room, the one that has not moved for longest gives way, so that who holds bodies
open keeps nobody else out. Kubernetes and Prometheus have no keys: /healthz, /readyz and /metrics are open.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.errors import ConfigurationError, MekikiError

# Bodies of up to so many bytes need no room: a search by id or vector is one.
LIGHT = 65_536
# Paths that need no key.
OPEN = {"/healthz", "/readyz", "/metrics"}
# Names under which nobody but the operator answers (RFC 6761, 6762, 9476): no stranger's page can have one.
_OWN_SUFFIXES = (".svc", ".local", ".internal", ".localhost", ".test")
# A body that has not moved for so many seconds may give way.
_STILL = 0.5
_ROOM_SECONDS = 0.5


class Keys:
    """Bearer keys, by their SHA-256, from a file of lines `NAME SHA256`; read again when it changes.

    Raises:
        ConfigurationError: the file cannot be read, or has a line of another form or no key.

    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = self._now()
        self._keys = _read_keys(file)

    def name(self, key: str) -> str | None:
        """Whose key it is."""
        self._renew()
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for known, name in self._keys:  # all of them, in the same time
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _now(self) -> tuple[int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise ConfigurationError(f"http.keys_file cannot be read: {error}") from error
        return status.st_mtime_ns, status.st_ino

    def _renew(self) -> None:
        try:
            stamp = self._now()
            if stamp != self._stamp:
                self._keys, self._stamp = _read_keys(self._file), stamp
        except ConfigurationError:
            return  # half written, or gone for a moment: the last good keys hold


def _read_keys(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"http.keys_file cannot be read: {error}") from error
    keys: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, digest = line.strip().rpartition(" ")
        if not name or len(digest) != 64 or not all(letter in "0123456789abcdef" for letter in digest):
            raise ConfigurationError(f"http.keys_file, line {number} is not NAME SHA256-in-hex")
        keys.append((digest, name.strip()))
    if not keys:
        raise ConfigurationError("http.keys_file names no key: nobody could search")
    return keys


@dataclass(frozen=True)
class DoorLimits:
    """What requests may cost: bytes of one body, bytes of all at once, seconds until a body is there.

    `hosts` are names that may be asked for beside addresses and names that only a private network knows.
    """

    body: int
    memory: int
    body_seconds: float = 10.0
    hosts: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Coming:
    """A body that is on its way; `given_up` is set when it has to give way."""

    size: int = 0
    room: int = 0
    moved: float = field(default_factory=time.monotonic)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)


class Refused(MekikiError):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, reason: str, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers


class Door:
    """An ASGI application in front of `app`. For one event loop."""

    def __init__(self, app: ASGIApp, limits: DoorLimits, keys: Keys | None = None) -> None:
        self._app = app
        self._limits = limits
        self._keys = keys
        self._free = limits.memory
        self._coming: set[_Coming] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Coming()
        try:
            headers = _single_headers(scope)
            self._check_host(headers.get(b"host"))
            self._check_key(scope["path"], headers.get(b"authorization"))
            _check_form(scope["method"], headers)
            self._check_length(headers.get(b"content-length"))
            whole = await self._whole(receive, body)
            await self._app(scope, _given(whole, receive), send)
        except Refused as refused:
            await _answer(refused, send)
        finally:
            self._free += body.room

    def _check_host(self, host: bytes | None) -> None:
        name = _host_name(host)
        if name is None:
            raise Refused(400, "request.invalid", "the request has no Host, or one that is no host")
        own = "." not in name or name.endswith(_OWN_SUFFIXES) or _is_address(name)
        if not own and name not in self._limits.hosts:
            raise Refused(
                421, "request.invalid", f"this server is not {name[:100]}: add it to http.allowed_hosts"
            )

    def _check_key(self, path: str, authorization: bytes | None) -> None:
        if self._keys is None or path in OPEN:
            return
        scheme, _, key = (authorization or b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or self._keys.name(key.strip()) is None:
            raise Refused(
                401,
                "request.unauthorized",
                "send Authorization: Bearer KEY, a key of http.keys_file",
                [(b"www-authenticate", b"Bearer")],
            )

    def _check_length(self, length: bytes | None) -> None:
        if length is not None and length.isdigit() and int(length[:20]) > self._limits.body:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(413, "request.too_large", f"the body has more than {self._limits.body} bytes")

    async def _whole(self, receive: Receive, body: _Coming) -> bytes:
        self._coming.add(body)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._received(receive, body)
        except TimeoutError:
            seconds = self._limits.body_seconds
            raise Refused(408, "request.timeout", f"the body was not there in {seconds:g} s") from None
        finally:
            self._coming.discard(body)

    async def _received(self, receive: Receive, body: _Coming) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await self._next(receive, body)
            if message["type"] == "http.disconnect":
                raise Refused(400, "request.invalid", "the client is gone")
            part = message.get("body", b"")
            body.size += len(part)
            body.moved = time.monotonic()
            if body.size > self._limits.body:
                raise self._too_large()
            if body.size > LIGHT:
                await self._take_room(body)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _next(self, receive: Receive, body: _Coming) -> Message:
        """The next part, unless the body has to give way meanwhile."""
        if body.size <= LIGHT:
            return await receive()
        given_up = asyncio.ensure_future(body.given_up.wait())
        part = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({given_up, part}, return_when=asyncio.FIRST_COMPLETED)
            if body.given_up.is_set():
                raise Refused(408, "request.timeout", "the body did not move, and others need its room")
            return part.result()
        finally:
            given_up.cancel()
            part.cancel()

    async def _take_room(self, body: _Coming) -> None:
        """Room for all of it but what is held already; others that do not move give way."""
        until = time.monotonic() + _ROOM_SECONDS
        while (needed := body.size - body.room) > self._free:
            still = [one for one in self._coming if one is not body and one.room and self._gives_way(one)]
            if still:
                slowest = min(still, key=lambda one: one.moved)
                slowest.given_up.set()
                self._free += slowest.room
                slowest.room = 0
            elif time.monotonic() < until:
                await asyncio.sleep(0.02)
            else:
                raise Refused(503, "request.busy", "no memory for so large a body", [(b"retry-after", b"1")])
        self._free -= needed
        body.room += needed

    @staticmethod
    def _gives_way(body: _Coming) -> bool:
        return not body.given_up.is_set() and time.monotonic() - body.moved > _STILL


def _single_headers(scope: Scope) -> dict[bytes, bytes]:
    """Headers by name; those that decide here may come once alone (RFC 9112, 3.2 and 6.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in {b"host", b"authorization", b"content-type", b"content-length"}:
            raise Refused(400, "request.invalid", f"the header {name.decode('latin-1')} comes twice")
        found[name] = value
    return found


def _host_name(host: bytes | None) -> str | None:
    """The name in a Host header, in lower case, without port and without the brackets of IPv6."""
    text = (host or b"").decode("latin-1").lower()
    if text.startswith("["):
        name, closed, port = text[1:].partition("]")
        return name if closed and (not port or port[1:].isdigit()) and _is_address(name) else None
    name, _, port = text.partition(":")
    well_formed = name and all(letter.isalnum() or letter in "-._" for letter in name) and name.isascii()
    return name.rstrip(".") or None if well_formed and (not port or port.isdigit()) else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_form(method: str, headers: dict[bytes, bytes]) -> None:
    """JSON says that it is: a page of another origin cannot send that without asking first (CORS)."""
    if method not in {"POST", "PUT", "PATCH"}:
        return
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(415, "request.invalid", "send Content-Type: application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused(415, "request.invalid", "send the body without Content-Encoding")


def _given(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body is there."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _answer(refused: Refused, send: Send) -> None:
    body = json.dumps({"reason": refused.reason, "detail": refused.detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *refused.headers,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
