"""A producer's trace with the worker's spans, through a real OpenTelemetry Collector, on a real Kafka.

`make test-otel` runs it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import kafka as kafka  # noqa: PLC0414 - a fixture
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker
from tests.otel.collector import HOST, Collector
from tests.otlp_receiver import OtlpReceiver
from tests.traced import check_spans
from tests.workplace import Workplace


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_spans_of_both_roles_come_through_a_collector(
    workplace: Workplace, tmp_path: Path, protocol: str
) -> None:
    program = Path(os.environ["MEKIKI_COLLECTOR"])
    with OtlpReceiver() as behind, Collector(program, tmp_path, behind.port) as collector:
        endpoints = {
            "grpc": f"http://{HOST}:{collector.grpc_port}",
            "http/protobuf": f"http://{HOST}:{collector.http_port}/v1/traces",
        }
        check_spans(workplace, behind, {"endpoint": endpoints[protocol], "protocol": protocol})
        # It calls itself by what tests/otel/collector.yaml says of it.
        assert all("passes them on" in one["user-agent"] for one in behind.headers)
