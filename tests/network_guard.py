"""The network that a tested worker sees: one loopback address, names of our own, and nothing else.

Nothing that a bug lets through leaves the machine: every connection to another address is recorded
and refused before a socket exists.
"""

import errno
import socket
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import httpcore2

from worker.fetch.addresses import IPAddress
from worker.fetch.connections import tcp_connector

HOST = "127.0.0.7"
ALLOWED_NETWORK = f"{HOST}/32"


class NetworkGuard:
    """A resolver and a connector for the fetcher. Used from many threads at once.

    `names` maps host names to their addresses; any other name does not exist.
    """

    def __init__(self, names: Mapping[str, Sequence[str]] | None = None) -> None:
        self._names = dict(names or {})
        self._lock = threading.Lock()
        self.connected: list[tuple[str, int]] = []
        self.refused: list[tuple[str, int]] = []

    def resolve(self, host: str, timeout: float) -> Sequence[IPAddress]:
        """Look `host` up in our own table."""
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not in the test's table of names")
        return [ip_address(address) for address in self._names[host]]

    def connect(self, address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
        """Connect to HOST; refuse everything else."""
        with self._lock:
            allowed = str(address) == HOST
            (self.connected if allowed else self.refused).append((str(address), port))
        if not allowed:
            raise PermissionError(errno.EPERM, f"a test must not connect to {address}")
        return tcp_connector(address, port, timeout)
