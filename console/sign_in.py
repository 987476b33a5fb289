"""Who is there, and what they may do: tokens of one's own, or the headers of a reverse proxy (OIDC)."""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from worker.errors import ConfigurationError
from worker.settings import ConsoleSettings

Role = Literal["viewer", "reviewer"]
COOKIE = "mekiki_session"
_SESSION_SECONDS = 12 * 3600
_LOCAL = "local"
_MOST_NAME = 200


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in. `csrf` must come back with each change; a bearer token needs none."""

    name: str
    role: Role
    csrf: str
    by_token: bool = False

    @property
    def may_review(self) -> bool:
        """Whether they may decide."""
        return self.role == "reviewer"


@dataclass(frozen=True)
class _Token:
    name: str
    role: Role
    digest: str


class SignIn:
    """Stateless: a session is a signed cookie, and ends with the console's secret.

    Raises:
        ConfigurationError: the tokens cannot be read, or nobody is asked who they are on an open address.

    """

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._tokens = _tokens(settings.tokens_file) if settings.sign_in == "tokens" else []
        self._secret = _secret(settings.secret_file)
        if settings.sign_in == "none" and not _is_loopback(settings.host):
            raise ConfigurationError(
                "console.sign_in is none, and console.host can be reached from other machines: set it to "
                "tokens or proxy"
            )

    @property
    def asks(self) -> bool:
        """Whether people sign in on a page of the console."""
        return self._settings.sign_in == "tokens"

    def person(self, peer: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Person | None:
        """Who sent a request from the address `peer`; None: nobody that is known."""
        if self._settings.sign_in == "none":
            return self._named(_LOCAL, "reviewer") if _is_loopback(peer) else None
        if self._settings.sign_in == "proxy":
            return self._from_proxy(peer, headers)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self._token(given.strip())
            return None if token is None else Person(token.name, token.role, "", by_token=True)
        return self._from_session(cookies.get(COOKIE, ""))

    def session(self, given: str) -> str | None:
        """The cookie of a session for who has the token `given`; None: nobody has it."""
        token = self._token(given)
        if token is None:
            return None
        until = int(time.time()) + _SESSION_SECONDS
        said = f"{token.digest[:16]}.{until}.{secrets.token_hex(8)}"
        return f"{said}.{self._signed('session', said)}"

    def _from_session(self, cookie: str) -> Person | None:
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signed("session", said).encode()):
            return None
        digest, until, _ = said.split(".")
        if int(until) < time.time():
            return None
        token = next((token for token in self._tokens if token.digest.startswith(digest)), None)
        return None if token is None else Person(token.name, token.role, self._signed("csrf", said))

    def origin(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of the client behind trusted proxies; `forwarded` are the headers X-Forwarded-For.

        Each proxy adds at the end whom it was asked by, and what stands before that may be made up.
        """
        passed = [part.strip() for header in forwarded for part in header.split(",")]
        while passed and self._is_trusted(peer):
            peer = passed.pop()
        return peer

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._settings.trusted_proxies)

    def _from_proxy(self, peer: str, headers: Mapping[str, str]) -> Person | None:
        settings = self._settings
        if not self._is_trusted(peer):
            return None
        name = headers.get(settings.user_header.lower(), "").strip()
        groups = {group.strip() for group in headers.get(settings.groups_header.lower(), "").split(",")}
        if not name or len(name) > _MOST_NAME:
            return None
        if settings.reviewer_group in groups:
            return self._named(name, "reviewer")
        return self._named(name, "viewer") if settings.viewer_group in groups else None

    def _named(self, name: str, role: Role) -> Person:
        return Person(name, role, self._signed("csrf", name))

    def _token(self, given: str) -> _Token | None:
        digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
        found = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        return found[0] if found else None

    def _signed(self, use: str, text: str) -> str:
        return hmac.new(self._secret, f"{use}|{text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _tokens(file: Path | None) -> list[_Token]:
    """Lines of name, role and the SHA-256 of a token, in hexadecimal."""
    if file is None:
        raise ConfigurationError("console.sign_in is tokens: set console.tokens_file")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"console.tokens_file cannot be read: {error}") from error
    tokens = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 3 or fields[1] not in ("viewer", "reviewer") or len(fields[2]) != 64:
            raise ConfigurationError(
                f"{file}:{number}: write NAME viewer|reviewer SHA256 (`printf %s TOKEN | sha256sum`)"
            )
        tokens.append(_Token(fields[0], cast(Role, fields[1]), fields[2].lower()))
    return tokens


def _secret(file: Path | None) -> bytes:
    if file is None:
        return secrets.token_bytes(32)
    try:
        secret = file.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"console.secret_file cannot be read: {error}") from error
    if len(secret) < 32:
        raise ConfigurationError(f"console.secret_file {file} holds less than 32 bytes")
    return secret


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
