"""A store on loopback that speaks enough of S3 to refuse what is not signed as AWS publishes it.

The path's first part is the bucket: `ok` has the `objects`, a number is answered with that status, `redirect`
redirects, `never` does not answer, `huge` announces a body of 25 MB.
"""

import hashlib
import hmac
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit


def signature(target: str, headers: dict[str, str], secret: str) -> str:
    """AWS Signature Version 4 of a GET's query ("Authenticating Requests: Using Query Parameters")."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query.pop("X-Amz-Signature")
    signed = query["X-Amz-SignedHeaders"].split(";")
    pairs = sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items())
    canonical = (
        "GET",
        quote(unquote(parts.path), safe="/-_.~"),
        "&".join(pairs),
        *(f"{name}:{headers[name]}" for name in signed),
        "",
        ";".join(signed),
        "UNSIGNED-PAYLOAD",
    )
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest))
    return hmac.new(key, text.encode(), "sha256").hexdigest()


class SigningStore:
    """Serves on a loopback address and a free port; `keys` are secrets by access key."""

    def __init__(self, keys: dict[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.keys = dict(keys)
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.stopping = threading.Event()
        self.address = "127.0.0.7"
        self._scheme = "https" if tls else "http"
        self._server = _Server((self.address, 0), self._handler(tls))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def endpoint(self, host: str) -> str:
        return f"{self._scheme}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def refusal(self, target: str, headers: dict[str, str]) -> str | None:
        """The code of what is wrong with who asks."""
        query = dict(parse_qsl(urlsplit(target).query))
        key = query.get("X-Amz-Credential", "").split("/")[0]
        if not key:
            return "AccessDenied"
        if key not in self.keys:
            return "InvalidAccessKeyId"
        right = signature(target, headers, self.keys[key]) == query["X-Amz-Signature"]
        return None if right else "SignatureDoesNotMatch"

    def _handler(self, tls: ssl.SSLContext | None) -> Any:
        def handle(request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
            stream = tls.wrap_socket(request, server_side=True) if tls else request
            return _Handler(self, stream, address, server)

        return handle


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, store: SigningStore, request: Any, address: Any, server: Any) -> None:
        self._store = store
        super().__init__(request, address, server)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        store = self._store
        host = self.headers["host"]
        store.asked.append(self.path)
        store.hosts.append(host)
        refusal = store.refusal(self.path, {name.lower(): value for name, value in self.headers.items()})
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        if host.startswith("ok."):
            path = f"ok/{path}"
        bucket, _, key = path.partition("/")
        if refusal:
            self._answer(403, f"<Error><Code>{refusal}</Code></Error>".encode())
        elif bucket == "redirect":
            self._answer(307, b"", {"Location": f"{store.endpoint('127.0.0.7')}/ok/{key}"})
        elif bucket == "never":
            store.stopping.wait()
        elif bucket == "huge":
            self._answer(200, b"", {"Content-Length": "25000000"})
        elif bucket == "ok" and key in store.objects:
            self._answer(200, store.objects[key])
        else:
            self._answer(
                int(bucket) if bucket.isdigit() else 404, b"<Error><Code>AccessDenied</Code></Error>"
            )

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
