"""A real Vald without a cluster: agents on loopback addresses, and the gateway in front of them.

What a cluster tells the gateway, which agents there are, is told by `python -m tests.vald.discoverer`.
"""

import os
import random
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.processes import Process

_BUILT = Path(os.environ.get("MEKIKI_VALD", "/nonexistent")) / "bin"
_HOST = "127.0.0.1"
_ALL = 60  # seconds until one serves


def free_port(host: str = _HOST) -> int:
    """One that no client gets as its own: one that connects to it while nobody listens would take it."""
    while True:
        port = random.randrange(10_000, 30_000)
        try:
            socket.create_server((host, port)).close()
        except OSError:
            continue
        return port


def _serving(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def _servers(host: str, port: int, readiness: int) -> dict[str, Any]:
    grpc = {"bidirectional_stream_concurrency": 20, "interceptors": ["RecoverInterceptor"]}
    common = {"host": host, "probe_wait_time": "0s", "socket_option": {"reuse_addr": True}}
    return {
        "servers": [{**common, "name": "grpc", "port": port, "mode": "GRPC", "grpc": grpc}],
        "health_check_servers": [{**common, "name": "readiness", "port": readiness, "mode": "REST"}],
        "startup_strategy": ["grpc", "readiness"],
        "full_shutdown_duration": "10s",
        "tls": {"enabled": False},
    }


class Server:
    """One program of Vald's; `start` waits until it serves, and it keeps its port through `kill`."""

    def __init__(self, program: str, home: Path, host: str, port: int, settings: dict[str, Any]) -> None:
        self.host, self.port = host, port
        self._home = home
        self._program = program
        home.mkdir(exist_ok=True)
        readiness = free_port(host)
        configuration = {
            "version": "v0.0.0",
            "time_zone": "UTC",
            "logging": {"logger": "zerolog", "level": "error", "format": "raw"},
            "server_config": _servers(host, port, readiness),
            "observability": {"enabled": False},
            **settings,
        }
        (home / "settings.yaml").write_text(yaml.safe_dump(configuration))
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"

    def start(self) -> Self:
        command = [str(_BUILT / self._program), "-f", str(self._home / "settings.yaml")]
        self._process = Process(command, self._home / "log")
        self._process.wait_until(lambda: _serving(self.host, self.port), "serving", _ALL)
        return self

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate(20)


def agent(home: Path, dim: int, host: str = _HOST, port: int | None = None, **ngt: Any) -> Server:
    """An agent in memory: what it held is gone when it is killed. It indexes when it is told to."""
    never = "24h"
    settings = {
        "dimension": dim,
        "distance_type": "l2",
        "object_type": "float",
        "pod_name": host,
        "enable_in_memory_mode": True,
        "auto_index_check_duration": never,
        "auto_index_duration_limit": never,
        "auto_index_length": 1_000_000_000,
        "auto_save_index_duration": never,
        "initial_delay_max_duration": "1ms",  # "0s" counts as unset: a random delay of minutes
        "creation_edge_size": 20,
        "search_edge_size": 40,
        "default_pool_size": 100,
        **ngt,
    }
    return Server("vald-agent-ngt", home, host, port or free_port(host), {"ngt": settings})


def gateway(home: Path, agents: list[Server], discoverer: str, replica: int) -> Server:
    """A gateway over `agents`, which listen on one port of different addresses."""
    (port,) = {each.port for each in agents}
    client: dict[str, Any] = {
        "health_check_duration": "1s",
        "connection_pool": {"enable_dns_resolver": False, "enable_rebalance": False, "size": 1},
        "backoff": {"initial_duration": "5ms", "maximum_duration": "500ms", "retry_count": 3},
        "dial_option": {"insecure": True, "timeout": "2s"},
    }
    settings = {
        "agent_port": port,
        "agent_name": "vald-agent",
        "agent_dns": "localhost",
        "agent_namespace": "default",
        "node_name": "",
        "index_replica": replica,
        "multi_operation_concurrency": 20,
        "discoverer": {
            "duration": "500ms",
            "client": {**client, "addrs": [discoverer]},
            "agent_client_options": {**client, "addrs": []},
        },
    }
    return Server("vald-lb-gateway", home, _HOST, free_port(), {"gateway": settings})


class Discoverer:
    """Tells a gateway which agents there are."""

    def __init__(self, home: Path, agents: list[Server]) -> None:
        self._port = free_port()
        self.address = f"{_HOST}:{self._port}"
        self._command = [
            *(sys.executable, "-m", "tests.vald.discoverer", self.address),
            *(each.host for each in agents),
        ]
        self._log = home / "discoverer.log"

    def __enter__(self) -> Self:
        self._process = Process(self._command, self._log)
        self._process.wait_until(lambda: _serving(_HOST, self._port), "serving", _ALL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
