"""A server behind TLS that gives the answers that a test wrote down, and notes who asked."""

import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.loopback_server import AnsweringHandler, LoopbackServer


class Answer(NamedTuple):
    """To a GET; with `authorization`, another one is told 401 and `challenge`."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    authorization: str | None = None
    challenge: str = ""


class AnsweringServer(LoopbackServer):
    """`answers` by path with query; `asked` holds path and authorization of each GET."""

    def __init__(self, host: str, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        self._tls = tls
        super().__init__(host)

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        stream = self._tls.wrap_socket(request, server_side=True) if self._tls else request
        return _Handler(self, stream, address, server)


class _Handler(AnsweringHandler):
    def __init__(self, server: AnsweringServer, request: Any, address: Any, tcp_server: Any) -> None:
        self._answering = server
        super().__init__(request, address, tcp_server)

    def do_GET(self) -> None:  # noqa: N802 - the base class finds it by this name
        authorization = self.headers["authorization"]
        self._answering.asked.append((self.path, authorization))
        found = self._answering.answers.get(self.path, Answer(b"{}", 404))
        if found.authorization is not None and authorization != found.authorization:
            challenges = {"WWW-Authenticate": found.challenge} if found.challenge else {}
            self.answer(401, b"", challenges)
            return
        self.answer(found.status, found.body, found.headers)
