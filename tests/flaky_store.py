"""An image store on loopback that fails by host name when it is told to, and serves again when mended."""

import socketserver
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from tests.network_guard import HOST

FAULTS = ("503", "busy", "silent", "refused")


class FlakyStore:
    """Serves one image at every path; use as a context manager.

    | fault   | what a host does                              |
    |---------|-----------------------------------------------|
    | 503     | answers with this status                      |
    | busy    | 429 with `Retry-After: retry_after`           |
    | silent  | reads the request and does not answer         |
    | refused | hangs up without an answer                    |

    `requests` counts by host.
    """

    def __init__(self, image: bytes, retry_after: int = 3) -> None:
        self.image = image
        self.retry_after = retry_after
        self.requests: Counter[str] = Counter()
        self._faults: dict[str, str] = {}
        self._mended = threading.Event()
        self._server = _Server((HOST, 0), self._handler)
        self._port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def url(self, host: str, name: str) -> str:
        """The URL of an image of `host`."""
        return f"http://{host}:{self._port}/{name}"

    def fail(self, host: str, fault: str) -> None:
        """Let `host` fail from now on."""
        self._mended.clear()
        self._faults[host] = fault

    def mend(self, host: str) -> None:
        """Let `host` serve again."""
        self._faults.pop(host, None)
        self._mended.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        return _Handler(self, request, address, server)

    def fault(self, host: str) -> str | None:
        """What `host` does."""
        self.requests[host] += 1
        return self._faults.get(host)

    def wait(self) -> None:
        """Until something is mended."""
        self._mended.wait(120)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, store: FlakyStore, request: Any, address: Any, server: Any) -> None:
        self._store = store
        super().__init__(request, address, server)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        fault = self._store.fault((self.headers.get("Host") or "").partition(":")[0])
        if fault == "503":
            self._answer(503, b"no")
        elif fault == "busy":
            self._answer(429, b"no", str(self._store.retry_after))
        elif fault == "silent":
            self._store.wait()
            self.close_connection = True
        elif fault == "refused":
            self.close_connection = True
        else:
            self._answer(200, self._store.image)

    def _answer(self, status: int, body: bytes, retry_after: str | None = None) -> None:
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
