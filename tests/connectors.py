"""Connectors and resolvers for tests of the fetcher: no packet leaves the machine, whatever the code does."""

import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import httpcore2

from worker.fetch.addresses import IPAddress
from worker.fetch.connections import tcp_connector


class RecordingConnector:
    """Records every connection that is asked for (`attempts`); makes only those to loopback (`streams`).

    Anything else gets `failure`, by default the error of a refused connection.
    """

    def __init__(self, failure: OSError | None = None) -> None:
        self.attempts: list[tuple[IPAddress, int]] = []
        self.timeouts: list[float] = []
        self.streams: list[httpcore2.NetworkStream] = []
        self._failure = failure or ConnectionRefusedError("recorded, not made")

    def __call__(self, address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
        self.attempts.append((address, port))
        self.timeouts.append(timeout)
        if not address.is_loopback:
            raise self._failure
        stream = tcp_connector(address, port, timeout)
        self.streams.append(stream)
        return stream


class TableResolver:
    """Resolves names from a table: to addresses, or to an error that is raised. Others do not exist."""

    def __init__(self, table: Mapping[str, Sequence[str] | OSError]) -> None:
        self.table = dict(table)
        self.asked: list[str] = []

    def __call__(self, host: str, timeout: float) -> Sequence[IPAddress]:
        self.asked.append(host)
        found = self.table.get(host, socket.gaierror(socket.EAI_NONAME, "unknown"))
        if isinstance(found, OSError):
            raise found
        return [ip_address(text) for text in found]
