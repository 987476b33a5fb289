"""What sends spans: OTLP over gRPC or over HTTP, by OpenTelemetry's own exporters."""

import os
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigurationError
from worker.settings import OtelSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
# As OpenTelemetry's specification names them, the one of traces first.
_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SECONDS = 5.0


def create_exporter(settings: OtelSettings) -> "SpanExporter":
    """The exporter that the settings ask for; each attempt has 5 seconds.

    Raises:
        ConfigurationError: a file of the settings cannot be read, or the environment names no such protocol.
        ImportError: the exporter is not installed.

    """
    headers = _read_headers(settings)
    if _protocol(settings) == GRPC:
        return _over_grpc(settings, headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=None if settings.ca_file is None else str(settings.ca_file),
        headers=headers,
        timeout=_SECONDS,
    )


def _over_grpc(settings: OtelSettings, headers: dict[str, str]) -> "SpanExporter":
    """Encrypted where the endpoint begins with https."""
    from grpc import ssl_channel_credentials  # noqa: PLC0415 - over HTTP nobody pays for it
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        insecure=(settings.endpoint or "").startswith("http:"),
        credentials=ssl_channel_credentials(_read_authority(settings)),
        headers={name.lower(): value for name, value in headers.items()},
        timeout=_SECONDS,
    )


def _protocol(settings: OtelSettings) -> str:
    if settings.protocol is not None:
        return settings.protocol
    for name in _VARIABLES:
        if (said := os.environ.get(name, "").strip()) in {GRPC, HTTP}:
            return said
        if said:
            raise ConfigurationError(f"{name} is {said!r}: spans are sent by {GRPC} or {HTTP}")
    return HTTP


def _read_authority(settings: OtelSettings) -> bytes | None:
    try:
        return None if settings.ca_file is None else settings.ca_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"otel.ca_file cannot be read: {error}") from error


def _read_headers(settings: OtelSettings) -> dict[str, str]:
    if settings.headers_file is None:
        return {}
    try:
        lines = settings.headers_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"otel.headers_file cannot be read: {error}") from error
    headers = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        name, separator, value = line.partition("=")
        if line and not separator:
            raise ConfigurationError(f"{settings.headers_file}:{number}: write name=value")
        if line:
            headers[name.strip()] = value.strip()
    return headers
