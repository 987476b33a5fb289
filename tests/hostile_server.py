"""An HTTP server on loopback that misbehaves in every way that a fetcher must survive.

| path                   | what it does                                                     |
|------------------------|------------------------------------------------------------------|
| /ok/NAME               | serves `files[NAME]`                                             |
| /chunked/NAME          | the same without Content-Length                                  |
| /gzip/NAME             | the same with Content-Encoding: gzip, unasked                    |
| /coded/NAME?as=CODING  | the same with that Content-Encoding; several `as`: several headers |
| /moved?to=LOCATION     | redirects to these bytes as they are (escaped in the query)      |
| /raw?status=STATUS&header=LINE | these header lines as they are, then "hello"            |
| /flaky/COUNT/NAME      | status 503 COUNT times, then as /ok/NAME                         |
| /STATUS                | that status: /404, /410, /403, /429, /500, ...                   |
| /busy?after=VALUE      | status 429 with that Retry-After                                 |
| /html.jpg, /empty      | a page called .jpg; a body of no bytes                           |
| /redirect?to=URL       | redirects to the (escaped) URL; /redirect alone names no target  |
| /loop                  | redirects to itself                                              |
| /never                 | reads the request and never answers                              |
| /slow-headers, /drip   | one byte each `drip_seconds` of the header; of the body          |
| /huge                  | `huge_bytes` zeros; /huge-chunked and /huge-unannounced likewise |
| /announced             | announces `huge_bytes` and sends none of them                    |
| /truncated             | closes in the middle of the body                                 |
| /garbage, /hang-up     | answers in no known protocol; closes without an answer           |
"""

import gzip
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

_PAGE = b"<!doctype html><title>Not found</title><p>This is not a photo.</p>"


class HostileServer:
    """Serves on `address`, a loopback one, and a free port; use as a context manager.

    `requests` counts by path, `connections` counts accepted connections, `headers` are the last request's.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        address: str = "127.0.0.7",
        tls: ssl.SSLContext | None = None,
        huge_bytes: int = 25_000_000,
        drip_seconds: float = 1.0,
    ) -> None:
        self.files = dict(files or {})
        self.address = address
        self.huge_bytes = huge_bytes
        self.drip_seconds = drip_seconds
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.headers: dict[str, str] = {}
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._scheme = "http" if tls is None else "https"
        # Not HTTPServer: it looks up its own name, which asks a name server.
        self._server = _ThreadingServer((address, 0), self._handler(tls))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def url(self, path: str, host: str | None = None) -> str:
        """The URL of `path`; `host` takes the place of the address."""
        return f"{self._scheme}://{host or self.address}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self, tls: ssl.SSLContext | None) -> Callable[..., BaseHTTPRequestHandler]:
        def handle(request: Any, address: Any, server: socketserver.BaseServer) -> BaseHTTPRequestHandler:
            with self.lock:
                self.connections += 1
            if tls is None:
                return _Handler(self, request, address, server)
            with tls.wrap_socket(request, server_side=True) as stream:
                return _Handler(self, stream, address, server)

        return handle


class _ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up in the middle are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hostile: HostileServer, request: Any, address: Any, server: Any) -> None:
        self._hostile = hostile
        super().__init__(request, address, server)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self._hostile.lock:
            self._hostile.requests[parts.path] += 1
            self._hostile.headers = dict(self.headers.items())
        first, *rest = parts.path.removeprefix("/").split("/")
        if first.isdigit():
            self._answer(int(first), b"no")
        elif first == "busy":
            self._answer(429, b"no", {"Retry-After": parse_qs(parts.query).get("after", [""])[0]})
        elif first == "moved":
            self._move(unquote_to_bytes(parts.query.removeprefix("to=")))
        elif first == "raw":
            self._raw(parse_qs(parts.query))
        elif first == "coded":
            self._coded(rest[0], parse_qs(parts.query, keep_blank_values=True)["as"])
        elif first == "redirect":
            self._redirect(parse_qs(parts.query).get("to", [None])[0])
        else:
            serve = getattr(self, "serve_" + first.replace("-", "_").replace(".", "_"), None)
            (serve or self._unknown)(*rest)

    def _unknown(self, *rest: str) -> None:
        self._answer(404, b"no")

    def serve_ok(self, name: str) -> None:
        self._answer(200, self._hostile.files[name])

    def serve_chunked(self, name: str) -> None:
        data = self._hostile.files[name]
        self._send_chunked(data[at : at + 1000] for at in range(0, len(data), 1000))

    def serve_gzip(self, name: str) -> None:
        self._answer(200, gzip.compress(self._hostile.files[name]), {"Content-Encoding": "gzip"})

    def serve_flaky(self, count: str, name: str) -> None:
        if self._hostile.requests[urlsplit(self.path).path] <= int(count):
            self._answer(503, b"no")
        else:
            self.serve_ok(name)

    def serve_html_jpg(self) -> None:
        self._answer(200, _PAGE, {"Content-Type": "image/jpeg"})

    def serve_empty(self) -> None:
        self._answer(200, b"")

    def serve_loop(self) -> None:
        self._redirect("/loop")

    def serve_never(self) -> None:
        self._hostile.stopping.wait()

    def serve_slow_headers(self) -> None:
        self._drop_by_drop(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000)

    def serve_drip(self) -> None:
        self._head(200, {"Content-Length": "1000"})
        self._drop_by_drop(b"x" * 1000)

    def serve_huge(self) -> None:
        self._head(200, {"Content-Length": str(self._hostile.huge_bytes)})
        self._write_all(self._zeros())

    def serve_announced(self) -> None:
        self._head(200, {"Content-Length": str(self._hostile.huge_bytes)})
        self._hostile.stopping.wait()

    def serve_huge_unannounced(self) -> None:
        self.close_connection = True
        self._head(200, {"Connection": "close"})
        self._write_all(self._zeros())

    def serve_huge_chunked(self) -> None:
        self._send_chunked(self._zeros())

    def serve_truncated(self) -> None:
        self.close_connection = True
        self._head(200, {"Content-Length": "1000"})
        self.wfile.write(b"x" * 10)

    def serve_garbage(self) -> None:
        self.close_connection = True
        self.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n" * 20)

    def serve_hang_up(self) -> None:
        self.close_connection = True

    def _move(self, to: bytes) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + to + b"\r\nContent-Length: 0\r\n\r\n")

    def _raw(self, query: Mapping[str, list[str]]) -> None:
        self.close_connection = True
        head = [f"HTTP/1.1 {query['status'][0]} raw", *query["header"], "", "hello"]
        self.wfile.write("\r\n".join(head).encode())

    def _coded(self, name: str, codings: list[str]) -> None:
        data = self._hostile.files[name]
        self.send_response(200)
        for coding in codings:
            self.send_header("Content-Encoding", coding)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _redirect(self, to: str | None) -> None:
        self._answer(302, b"", {} if to is None else {"Location": to})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, {**(headers or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_chunked(self, chunks: Iterator[bytes]) -> None:
        self._head(200, {"Transfer-Encoding": "chunked"})
        self._write_all(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        self.wfile.write(b"0\r\n\r\n")

    def _zeros(self) -> Iterator[bytes]:
        left = self._hostile.huge_bytes
        while left > 0:
            yield bytes(min(left, 65_536))
            left -= 65_536

    def _write_all(self, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            self.wfile.write(chunk)

    def _drop_by_drop(self, data: bytes) -> None:
        for byte in data:
            if self._hostile.stopping.wait(self._hostile.drip_seconds):
                return
            self.wfile.write(bytes([byte]))
