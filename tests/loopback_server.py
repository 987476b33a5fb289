"""What the tests' stores share: an HTTP server on loopback, in threads that end with the tests."""

import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self


class AnsweringHandler(BaseHTTPRequestHandler):
    """Says nothing of its own, and answers whole."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Headers may give another Content-Length than the body's."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these servers are for."""


class LoopbackServer:
    """Serves on `host` and `port`, by default a free one; a context manager. `stopping` is set at its end."""

    def __init__(self, host: str, *, port: int = 0) -> None:
        self.stopping = threading.Event()
        self._server = _Server((host, port), self.handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        """What answers a connection."""
        raise AssertionError("a server says what answers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
