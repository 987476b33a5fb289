"""A shop's object store, on loopback: the files that URLs and bucket notifications refer to."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

HOST = "127.0.0.1"
# A redirect to where cloud machines keep their credentials, as an attacker would try it.
REDIRECT = "/redirect-to-metadata"
_METADATA_URL = "http://169.254.169.254/latest/meta-data/"
_POLL_SECONDS = 0.05  # how long closing may take


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up on a kept connection is no error."""


class ObjectStore:
    """Serves `files`, by URL path such as "/photos/1.jpg", and nothing else; use as a context manager."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self._server = _Server((HOST, 0), _handler(self.files))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="store", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(files: Mapping[str, Path]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(self.path)
            if path == REDIRECT:
                self._answer(302, b"", {"Location": _METADATA_URL})
            elif (file := files.get(path)) is not None:
                self._answer(200, file.read_bytes(), {})
            else:
                self._answer(404, b"<h1>404 Not Found</h1>", {})

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: the live table has the screen."""

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler
