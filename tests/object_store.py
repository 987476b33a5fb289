"""A store on loopback that speaks enough of S3 to refuse what is not signed as AWS publishes it.

The path's first part is the bucket: `ok` has the `objects`, a number is answered with that status, `redirect`
redirects, `never` does not answer, `huge` announces a body of 25 MB.
"""

import hashlib
import hmac
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from tests.loopback_server import AnsweringHandler, LoopbackServer


def signature(target: str, headers: dict[str, str], secret: str) -> str:
    """AWS Signature Version 4 of a GET's query ("Authenticating Requests: Using Query Parameters")."""
    path, _, asked = target.partition("?")
    query = dict(parse_qsl(asked, keep_blank_values=True))
    query.pop("X-Amz-Signature")
    signed = query["X-Amz-SignedHeaders"].split(";")
    pairs = sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items())
    canonical = (
        "GET",
        quote(unquote(path), safe="/-_.~"),
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


class SigningStore(LoopbackServer):
    """Serves on a loopback address and a free port; `keys` are secrets by access key."""

    def __init__(self, keys: dict[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.keys = dict(keys)
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.address = "127.0.0.7"
        self._tls = tls
        self._scheme = "https" if tls else "http"
        super().__init__(self.address)

    def endpoint(self, host: str) -> str:
        return f"{self._scheme}://{host}:{self.port}"

    def refusal(self, target: str, headers: dict[str, str]) -> str | None:
        """The code of what is wrong with who asks."""
        query = dict(parse_qsl(target.partition("?")[2]))
        key = query.get("X-Amz-Credential", "").split("/")[0]
        if not key:
            return "AccessDenied"
        if key not in self.keys:
            return "InvalidAccessKeyId"
        right = signature(target, headers, self.keys[key]) == query["X-Amz-Signature"]
        return None if right else "SignatureDoesNotMatch"

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        stream = self._tls.wrap_socket(request, server_side=True) if self._tls else request
        return _Handler(self, stream, address, server)


class _Handler(AnsweringHandler):
    def __init__(self, store: SigningStore, request: Any, address: Any, server: Any) -> None:
        self._store = store
        super().__init__(request, address, server)

    def do_GET(self) -> None:  # noqa: N802 - the base class finds it by this name
        store = self._store
        host = self.headers["host"]
        target = self.requestline.split()[1]  # as it came: `path` has no slashes in a row at its beginning
        store.asked.append(target)
        store.hosts.append(host)
        refusal = store.refusal(target, {name.lower(): value for name, value in self.headers.items()})
        path = unquote(target.partition("?")[0]).removeprefix("/")
        if host.startswith("ok."):
            path = f"ok/{path}"
        bucket, _, key = path.partition("/")
        if refusal:
            self.answer(403, f"<Error><Code>{refusal}</Code></Error>".encode())
        elif bucket == "redirect":
            self.answer(307, b"", {"Location": f"{store.endpoint('127.0.0.7')}/ok/{key}"})
        elif bucket == "never":
            store.stopping.wait()
        elif bucket == "huge":
            self.answer(200, b"", {"Content-Length": "25000000"})
        elif bucket == "ok" and key in store.objects:
            self.answer(200, store.objects[key])
        else:
            self.answer(int(bucket) if bucket.isdigit() else 404, b"<Error><Code>AccessDenied</Code></Error>")
