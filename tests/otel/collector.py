"""A real OpenTelemetry Collector on loopback: it takes OTLP over gRPC and HTTP, and passes it on."""

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kafka.server import free_ports
from tests.processes import Process

HOST = "127.0.0.1"


class Collector:
    """Passes spans on to `port`, over HTTP; use as a context manager."""

    def __init__(self, program: Path, home: Path, port: int) -> None:
        self.grpc_port, self.http_port = free_ports(2)
        self._program = program
        self._home = home
        self._settings = {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {"endpoint": f"{HOST}:{self.grpc_port}"},
                        "http": {"endpoint": f"{HOST}:{self.http_port}"},
                    }
                }
            },
            "exporters": {"otlphttp": {"endpoint": f"http://{HOST}:{port}"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlphttp"]}},
            },
        }

    def __enter__(self) -> Self:
        file = self._home / "collector.yaml"
        file.write_text(json.dumps(self._settings))  # which is YAML as well
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home)}
        command = [str(self._program), "--config", str(file)]
        self._process = Process(command, self._home / "collector.log", environment)
        self._process.wait_until(self._takes_connections, "the collector listens", 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate(20)

    def _takes_connections(self) -> bool:
        for port in (self.grpc_port, self.http_port):
            try:
                socket.create_connection((HOST, port), 1).close()
            except OSError:
                time.sleep(0.1)
                return False
        return True
