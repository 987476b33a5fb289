"""Connections go to permitted addresses alone, and end at their deadline."""

import errno
import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from time import monotonic

import httpcore2
import pytest

from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from tests.hostile_server import HostileServer
from worker.errors import Rejection, StageError
from worker.fetch.addresses import AddressBook
from worker.fetch.connections import DeadlineStream, VettedBackend, raise_if_ours, tcp_connector

SERVER = "127.0.0.7"


def backend(
    connector: RecordingConnector,
    names: Mapping[str, Sequence[str] | OSError] | None = None,
    connect_timeout: float = 1.0,
    route_known: bool = True,
) -> VettedBackend:
    book = AddressBook(TableResolver(names or {}), [ip_network(SERVER)])
    return VettedBackend(book, connector, connect_timeout, lambda _address: route_known)


def soon(seconds: float = 2.0) -> float:
    return monotonic() + seconds


def test_the_first_permitted_address_that_answers_is_connected_to() -> None:
    with HostileServer({"shirt.jpg": b"red shirt"}, SERVER) as server:
        connector = RecordingConnector()
        vetted = backend(connector, {"shop.test": ["10.0.0.1", "8.8.8.8", SERVER]})
        stream = vetted.connect_tcp("shop.test", server.port, soon())
        stream.write(b"GET /ok/shirt.jpg HTTP/1.0\r\n\r\n", soon())
        assert stream.read(1000, soon()).startswith(b"HTTP/1.")
        stream.close()
    assert connector.attempts == [(ip_address("8.8.8.8"), server.port), (ip_address(SERVER), server.port)]


def test_a_forbidden_address_is_not_connected_to() -> None:
    connector = RecordingConnector()
    with pytest.raises(Rejection) as caught:
        backend(connector).connect_tcp("127.0.0.1", 80, soon())
    assert caught.value.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert connector.attempts == []


def test_a_connection_takes_no_longer_than_its_own_limit_and_what_is_left() -> None:
    connector = RecordingConnector()
    for deadline in (soon(60), soon(0.5)):
        with pytest.raises(httpcore2.ConnectError):
            backend(connector, connect_timeout=3.0).connect_tcp("8.8.8.8", 80, deadline)
    assert connector.timeouts == [3.0, pytest.approx(0.5, abs=0.2)]


def test_no_address_is_tried_after_the_deadline() -> None:
    connector = RecordingConnector()
    with pytest.raises(httpcore2.ConnectTimeout):
        backend(connector).connect_tcp("8.8.8.8", 80, soon(-1))
    assert connector.attempts == []


def test_a_connection_without_a_deadline_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="deadline"):
        backend(RecordingConnector()).connect_tcp("8.8.8.8", 80)


def test_a_slow_host_is_late_and_a_refusing_one_is_not() -> None:
    with pytest.raises(httpcore2.ConnectTimeout):
        backend(RecordingConnector(TimeoutError("slow"))).connect_tcp("8.8.8.8", 80, soon())
    with pytest.raises(httpcore2.ConnectError):
        backend(RecordingConnector()).connect_tcp("8.8.8.8", 80, soon())


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETDOWN])
def test_a_want_of_this_machine_is_ours(code: int) -> None:
    with pytest.raises(StageError, match="this machine"):
        backend(RecordingConnector(OSError(code, "simulated"))).connect_tcp("8.8.8.8", 80, soon(0.05))
    if code != errno.EADDRNOTAVAIL:  # where IPv6 is off, that is what Linux says of an address of the other's
        with pytest.raises(StageError, match="this machine"):
            raise_if_ours(OSError(code, "simulated"))


def test_a_failure_of_the_other_side_is_not_ours() -> None:
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    assert raise_if_ours(reset) is None
    with pytest.raises(httpcore2.ConnectError, match="reset"):
        backend(RecordingConnector(reset)).connect_tcp("8.8.8.8", 80, soon())


def test_no_route_to_any_ipv4_address_is_ours() -> None:
    connector = RecordingConnector(OSError(errno.ENETUNREACH, "unreachable"))
    with pytest.raises(StageError, match="no route"):
        backend(connector, route_known=False).connect_tcp("8.8.8.8", 80, soon())
    with pytest.raises(httpcore2.ConnectError):
        backend(connector, route_known=False).connect_tcp("2606:4700:4700::1111", 80, soon())


def test_reading_and_writing_end_at_the_deadline() -> None:
    with HostileServer({}, SERVER) as server:
        stream = DeadlineStream(tcp_connector(ip_address(SERVER), server.port, 1.0))
        with pytest.raises(httpcore2.ReadTimeout):
            stream.read(1, soon(0.05))
        with pytest.raises(httpcore2.ReadTimeout):
            stream.read(1, soon(-1))
        with pytest.raises(httpcore2.WriteTimeout):
            stream.write(b"x", soon(-1))
        with pytest.raises(httpcore2.ConnectTimeout):
            stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "shop.test", soon(-1))
        with pytest.raises(ValueError, match="deadline"):
            stream.read(1)
        stream.close()


def test_a_refused_connection_says_so_in_the_systems_words() -> None:
    with HostileServer({}, SERVER) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        tcp_connector(ip_address(SERVER), port, 1.0)
