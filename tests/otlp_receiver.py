"""A receiver of OTLP over HTTP on loopback: it reads what is sent by the protocol's own messages."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.loopback_server import AnsweringHandler, LoopbackServer


class OtlpReceiver(LoopbackServer):
    """Keeps every span; `status` is what it answers with."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[dict[str, str]] = []
        self.resources: list[dict[str, str]] = []
        self._spans: list[Any] = []
        self._lock = threading.Lock()
        super().__init__("127.0.0.1")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def spans(self, name: str | None = None) -> list[Any]:
        """Spans of the protocol, those of a name, in the order of their end."""
        with self._lock:
            found = [one for one in self._spans if name is None or one.name == name]
        return sorted(found, key=lambda span: span.end_time_unix_nano)

    def take(self, headers: dict[str, str], body: bytes) -> bytes:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.headers.append(headers)
            for one in request.resource_spans:
                self.resources.append(attributes(one.resource))
                for scope in one.scope_spans:
                    self._spans += scope.spans
        return ExportTraceServiceResponse().SerializeToString()

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        return _Handler(self, request, address, server)


class _Handler(AnsweringHandler):
    def __init__(self, receiver: OtlpReceiver, request: Any, address: Any, server: Any) -> None:
        self._receiver = receiver
        super().__init__(request, address, server)

    def do_POST(self) -> None:  # noqa: N802 - the base class finds it by this name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        if self._receiver.status != 200:
            self.answer(self._receiver.status, b"")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self._receiver.take(headers, body)
        self.answer(200, answer, {"Content-Type": "application/x-protobuf"})


def attributes(of: Any) -> dict[str, str]:
    """Attributes of a span or a resource, as text."""
    return {
        one.key: str(getattr(one.value, one.value.WhichOneof("value") or "string_value"))
        for one in of.attributes
    }
