"""Connections for the HTTP client: to permitted addresses alone, and never past a point in time."""

import errno
import ssl
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Protocol, Self

import httpcore2

from schemas.rejection import RejectionReason
from worker.errors import Rejection, StageError
from worker.fetch.addresses import AddressBook, IPAddress, has_route
from worker.fetch.framing import FramedStream
from worker.fetch.stream_around import StreamAround

# A host with more addresses than this is not tried any further.
_MAX_ADDRESSES = 4

# Wants of this machine, whatever it connects to.
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENETDOWN}
# What a machine without IPv6 says of an IPv6 address. Of an IPv4 one, the first says that no port is left.
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH}
# Wants that pass when other images are done.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# The machine's own firewall says no.
_FORBIDDEN = {errno.EACCES, errno.EPERM}


class Connector(Protocol):
    """Opens a TCP connection.

    Raises:
        OSError: the connection cannot be made; TimeoutError: not within `timeout` seconds.

    """

    def __call__(self, address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
        """Connect to exactly `address`."""
        ...


def tcp_connector(address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
    """Connect with the machine's own TCP."""
    try:
        return httpcore2.SyncBackend().connect_tcp(str(address), port, timeout)
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


class VettedBackend(httpcore2.NetworkBackend):
    """Resolves, judges and connects to the very address that was judged.

    The client's time limits are points in time on the monotonic clock here, in seconds, so that one
    deadline holds for all reads and writes of an image, however many there are. The client keeps
    connections by scheme, host and port: one that is used again leads where it was permitted to.
    """

    def __init__(
        self,
        addresses: AddressBook,
        connector: Connector,
        connect_timeout: float,
        route_known: Callable[[IPAddress], bool] = has_route,
    ) -> None:
        self._addresses = addresses
        self._connector = connector
        self._connect_timeout = connect_timeout
        self._route_known = route_known

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that answers, before the point in time `timeout`.

        Raises:
            Rejection: `host` has no address, or none that may be connected to.
            NameServerError: the name server gave no answer.
            StageError: this machine has no files, memory, ports or network left.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: no address could be connected to.

        """
        del local_address, socket_options
        if timeout is None:
            raise ValueError("a connection needs a deadline")
        last: OSError = TimeoutError("no time is left to connect")
        for address in self._addresses.permitted(host, timeout - monotonic())[:_MAX_ADDRESSES]:
            left = timeout - monotonic()
            if left <= 0:
                break
            try:
                stream = self._connected(address, port, timeout)
            except OSError as error:
                self._blame(error, address)
                last = error
            else:
                return FramedStream(DeadlineStream(stream))
        if isinstance(last, TimeoutError):
            raise httpcore2.ConnectTimeout(str(last)) from last
        raise httpcore2.ConnectError(last) from last

    def _connected(self, address: IPAddress, port: int, deadline: float) -> httpcore2.NetworkStream:
        """Connect; while this machine has nothing left for it, pause and try again, up to `deadline`."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._connector(address, port, min(deadline - monotonic(), self._connect_timeout))
            except OSError as error:
                if error.errno not in _PASSING or deadline - monotonic() <= 2 * pause:
                    raise
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _blame(self, error: OSError, address: IPAddress) -> None:
        """Return when the other side is at fault; raise otherwise.

        An unreachable network is our fault when the routing table has no way to an IPv4 address. Machines
        without IPv6 are common: a host that has nothing else is then unreachable by its own choice.
        """
        if address.version == 6 and error.errno in _NO_IPV6:
            return
        if error.errno == errno.EADDRNOTAVAIL:
            raise StageError(f"this machine has no port left to connect to {address}: {error}") from error
        raise_if_ours(error)
        if error.errno in _FORBIDDEN:
            raise Rejection(
                RejectionReason.FETCH_FORBIDDEN_ADDRESS,
                f"the worker's own firewall forbids connections to {address}: {error}",
            ) from error
        if error.errno == errno.ENETUNREACH and address.version == 4 and not self._route_known(address):
            raise StageError(f"this machine has no route to {address}: {error}") from error


class DeadlineStream(StreamAround):
    """A stream whose time limits are points in time on the monotonic clock."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read up to `max_bytes` bytes before the point in time `timeout`."""
        return super().read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer` before the point in time `timeout`."""
        super().write(buffer, _left(timeout, httpcore2.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Shake hands before the point in time `timeout`."""
        return super().start_tls(ssl_context, server_hostname, _left(timeout, httpcore2.ConnectTimeout))


def raise_if_ours(error: OSError) -> None:
    """Raise when `error` tells of a want of this machine.

    Raises:
        StageError: no files, memory, ports or network are left here.

    """
    if error.errno in _OURS:
        raise StageError(f"this machine cannot connect to anything: {error}") from error


def _left(deadline: float | None, too_late: type[httpcore2.TimeoutException]) -> float:
    if deadline is None:
        raise ValueError("a connection needs a deadline")
    left = deadline - monotonic()
    if left <= 0:
        raise too_late("no time is left")
    return left
