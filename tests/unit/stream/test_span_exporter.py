"""Spans go out by the protocol that the settings or OpenTelemetry's variables name."""

import time

import pytest
import trustme

from tests.otlp_receiver import GrpcOtlpReceiver, OtlpReceiver
from tests.unit.records import record
from worker.errors import ConfigurationError
from worker.settings import OtelSettings
from worker.stream.span_exporter import create_exporter
from worker.stream.spans import create_spans


def names_sent_to(receiver, settings):
    """Names of the spans that a worker with these settings leaves at a receiver."""
    spans = create_spans(settings, "score")
    (one,) = spans.begin([record()], time.time_ns())
    spans.end(one, "accept", {})
    spans.close()
    return [span.name for span in receiver.spans()]


SENT = ["poll uploads", "process uploads"]


def test_over_grpc_with_headers_of_a_file(tmp_path):
    (tmp_path / "headers").write_text("X-Key = secret=1\n")
    with GrpcOtlpReceiver() as receiver:
        settings = OtelSettings(
            endpoint=receiver.endpoint, protocol="grpc", headers_file=tmp_path / "headers"
        )
        assert names_sent_to(receiver, settings) == SENT
        assert receiver.headers[0]["x-key"] == "secret=1"
        assert receiver.resources[0]["mekiki.role"] == "score"


def test_over_grpc_by_tls_of_a_private_authority(tmp_path):
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(one.bytes() for one in issued.cert_chain_pems)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with GrpcOtlpReceiver((issued.private_key_pem.bytes(), chain)) as receiver:
        settings = OtelSettings(endpoint=receiver.endpoint, protocol="grpc", ca_file=tmp_path / "ca.pem")
        assert names_sent_to(receiver, settings) == SENT


@pytest.mark.parametrize(
    ("variables", "protocol", "over_grpc"),
    [
        ({}, None, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None, True),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, None, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": ""}, None, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf", False),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            None,
            False,
        ),
    ],
)
def test_the_settings_say_the_protocol_else_the_variables(monkeypatch, variables, protocol, over_grpc):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with GrpcOtlpReceiver() if over_grpc else OtlpReceiver() as receiver:
        settings = OtelSettings(endpoint=receiver.endpoint, protocol=protocol)
        assert names_sent_to(receiver, settings) == SENT


def test_what_cannot_be_sent_is_told_at_start(monkeypatch, tmp_path):
    settings = OtelSettings(endpoint="https://127.0.0.1:9", protocol="grpc", ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match="ca_file"):
        create_exporter(settings)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'"):
        create_exporter(OtelSettings(endpoint="http://127.0.0.1:9"))
