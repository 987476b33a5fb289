"""Receivers of OTLP on loopback, over HTTP and over gRPC: what is sent, by the protocol's own messages."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from tests.loopback_server import AnsweringHandler, LoopbackServer


class ReceivedSpans:
    """Every span that came, with the headers of each request and the resources."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.resources: list[dict[str, str]] = []
        self._spans: list[Any] = []
        self._lock = threading.Lock()

    def spans(self, name: str | None = None) -> list[Any]:
        """Spans of the protocol, those of a name, in the order of their end."""
        with self._lock:
            found = [one for one in self._spans if name is None or one.name == name]
        return sorted(found, key=lambda span: span.end_time_unix_nano)

    def keep(self, headers: dict[str, str], request: ExportTraceServiceRequest) -> None:
        with self._lock:
            self.headers.append(headers)
            for one in request.resource_spans:
                self.resources.append(attributes(one.resource))
                for scope in one.scope_spans:
                    self._spans += scope.spans


class OtlpReceiver(ReceivedSpans, LoopbackServer):
    """Over HTTP; `status` is what it answers with."""

    def __init__(self) -> None:
        self.status = 200
        ReceivedSpans.__init__(self)
        LoopbackServer.__init__(self, "127.0.0.1")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def take(self, headers: dict[str, str], body: bytes) -> bytes:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.keep(headers, ExportTraceServiceRequest.FromString(body))
        return ExportTraceServiceResponse().SerializeToString()

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        return _Handler(self, request, address, server)


class GrpcOtlpReceiver(ReceivedSpans, TraceServiceServicer):
    """Over gRPC; use as a context manager. `certificate` is a key and a chain, PEM, for TLS."""

    def __init__(self, certificate: tuple[bytes, bytes] | None = None) -> None:
        ReceivedSpans.__init__(self)
        self._scheme = "http" if certificate is None else "https"
        self._server = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, self._server)
        if certificate is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([certificate])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(0).wait()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        self.keep({name: str(value) for name, value in context.invocation_metadata()}, request)
        return ExportTraceServiceResponse()


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
