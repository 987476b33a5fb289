import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import quote

import httpcore2
import pytest
import trustme

from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from tests.hostile_server import HostileServer
from worker.errors import Rejection, StageError, StoreFailed
from worker.fetch.addresses import AddressBook, IPAddress
from worker.fetch.connections import VettedBackend
from worker.fetch.download import Downloader, DownloadLimits

PHOTO = bytes(range(256)) * 40
LIMIT = 50_000
SERVER = "127.0.0.7"


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer(
        {"shirt.jpg": PHOTO, "limit": bytes(LIMIT), "over": bytes(LIMIT + 1)}, SERVER
    ) as running:
        running.huge_bytes = 10 * LIMIT
        yield running


def downloader(
    names: Mapping[str, Sequence[str] | OSError] | None = None,
    connector: RecordingConnector | None = None,
    route_known: bool = True,
    connect_timeout: float = 1.0,
    tls: ssl.SSLContext | None = None,
    allowed: str = SERVER,
    witnesses: Sequence[str] = (),
    **limits: object,
) -> Downloader:
    book = AddressBook(TableResolver(names or {}), [ip_network(allowed)], witnesses)
    backend = VettedBackend(
        book, connector or RecordingConnector(), connect_timeout, route_known=lambda _address: route_known
    )
    pool = httpcore2.ConnectionPool(
        ssl_context=tls, max_connections=None, keepalive_expiry=30.0, network_backend=backend
    )
    given = {"schemes": ("https", "http"), "timeout": 2.0, "max_bytes": LIMIT, "retries": 0, **limits}
    return Downloader(pool, DownloadLimits(**given), book.answers_otherwise, book.served)  # type: ignore[arg-type]


def rejected(parts: Downloader, url: str) -> Rejection:
    with pytest.raises(Rejection) as caught:
        parts.download(url)
    assert "secret" not in caught.value.detail
    return caught.value


# What works


@pytest.mark.parametrize("path", ["/ok/shirt.jpg", "/chunked/shirt.jpg", "/ok/shirt.jpg?size=full#top"])
def test_the_body_comes_back_unchanged(server: HostileServer, path: str) -> None:
    assert downloader().download(server.url(path)) == PHOTO


@pytest.mark.parametrize(
    "path", ["/ok/shirt.jpg", "/announced", "/gzip/shirt.jpg", "/redirect?to=/ok/shirt.jpg"]
)
def test_a_look_gives_the_header_and_reads_no_body(server: HostileServer, path: str) -> None:
    """What is there may be too large, or of another form: it is there."""
    header = downloader().look(server.url(path))
    assert int(header["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/404", RejectionReason.FETCH_NOT_FOUND),
        ("/410", RejectionReason.FETCH_NOT_FOUND),
        ("/403", RejectionReason.FETCH_HTTP_STATUS),
        ("/503", RejectionReason.FETCH_UNREACHABLE),
        ("/never", RejectionReason.FETCH_TIMEOUT),
        ("/loop", RejectionReason.FETCH_TOO_MANY_REDIRECTS),
    ],
)
def test_a_look_is_refused_as_a_download_is(
    server: HostileServer, path: str, reason: RejectionReason
) -> None:
    with pytest.raises(Rejection) as raised:
        downloader(timeout=20.0, first_byte_timeout=0.5).look(server.url(path))
    assert raised.value.reason is reason


def test_a_body_of_exactly_the_limit_is_taken(server: HostileServer) -> None:
    assert downloader().download(server.url("/ok/limit")) == bytes(LIMIT)


def test_requests_say_who_asks_and_for_what(server: HostileServer) -> None:
    downloader(names={"shop.test": [SERVER]}).download(server.url("/ok/shirt.jpg", "shop.test"))
    assert server.headers["Host"] == f"shop.test:{server.port}"
    assert server.headers["User-Agent"] == "mekiki"
    assert server.headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(server.headers)


def test_proxies_of_the_environment_are_not_used(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.8:1")
    connector = RecordingConnector()
    assert downloader(connector=connector).download(server.url("/ok/shirt.jpg")) == PHOTO
    assert connector.attempts == [(ip_address(SERVER), server.port)]


def test_a_connection_serves_several_images() -> None:
    with HostileServer({"shirt.jpg": PHOTO}, SERVER) as own:
        parts = downloader()
        for _ in range(5):
            parts.download(own.url("/ok/shirt.jpg"))
        parts.close()
        assert own.requests["/ok/shirt.jpg"] == 5
        assert own.connections == 1


def test_many_threads_share_one_downloader(server: HostileServer) -> None:
    parts = downloader(timeout=5.0)
    paths = ["/ok/shirt.jpg", "/404", "/chunked/shirt.jpg", "/huge"] * 20

    def outcome(path: str) -> object:
        try:
            return parts.download(server.url(path))
        except Rejection as rejection:
            return rejection.reason

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(outcome, paths))
    expected = [PHOTO, RejectionReason.FETCH_NOT_FOUND, PHOTO, RejectionReason.FETCH_TOO_LARGE] * 20
    assert outcomes == expected


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    with HostileServer({"shirt.jpg": PHOTO}, SERVER) as own:
        parts = downloader(retries=1)
        parts.download(own.url("/ok/shirt.jpg"))
        rejected(parts, own.url("/hang-up"))
        assert parts.download(own.url("/ok/shirt.jpg")) == PHOTO


# Statuses and bodies


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/404", RejectionReason.FETCH_NOT_FOUND),
        ("/410", RejectionReason.FETCH_NOT_FOUND),
        ("/400", RejectionReason.FETCH_HTTP_STATUS),
        ("/401", RejectionReason.FETCH_HTTP_STATUS),
        ("/403", RejectionReason.FETCH_HTTP_STATUS),
        ("/206", RejectionReason.FETCH_HTTP_STATUS),
        ("/redirect", RejectionReason.FETCH_HTTP_STATUS),
        ("/429", RejectionReason.FETCH_UNREACHABLE),
        ("/500", RejectionReason.FETCH_UNREACHABLE),
        ("/503", RejectionReason.FETCH_UNREACHABLE),
        ("/truncated", RejectionReason.FETCH_UNREACHABLE),
        ("/garbage", RejectionReason.FETCH_UNREACHABLE),
        ("/hang-up", RejectionReason.FETCH_UNREACHABLE),
        ("/huge", RejectionReason.FETCH_TOO_LARGE),
        ("/huge-chunked", RejectionReason.FETCH_TOO_LARGE),
        ("/huge-unannounced", RejectionReason.FETCH_TOO_LARGE),
        ("/ok/over", RejectionReason.FETCH_TOO_LARGE),
        ("/gzip/shirt.jpg", RejectionReason.SOURCE_UNSUPPORTED),
        ("/loop", RejectionReason.FETCH_TOO_MANY_REDIRECTS),
    ],
)
def test_each_bad_answer_has_its_reason(server: HostileServer, path: str, reason: RejectionReason) -> None:
    rejection = rejected(downloader(), server.url(path + "?token=secret"))
    assert rejection.reason is reason
    assert f"{SERVER}:{server.port}{path}" in rejection.detail
    assert len(rejection.detail) < 500


@pytest.mark.parametrize(
    "query",
    [
        "as=",
        "as=aws-chunked",
        "as=AWS-Chunked",
        "as=aws-chunked,",
        "as=,",
        "as=identity,aws-chunked",
        "as=identity&as=aws-chunked",
        "as=utf-8",
        "as=none",
    ],
)
def test_a_content_encoding_that_leaves_the_bytes_alone_is_no_hindrance(
    server: HostileServer, query: str
) -> None:
    assert downloader().download(server.url(f"/coded/shirt.jpg?{query}")) == PHOTO


@pytest.mark.parametrize(
    "query",
    ["as=gzip", "as=aws-chunked,gzip", "as=GZip", "as=br", "as=aws-chunked&as=zstd", "as=identity,deflate"],
)
def test_a_compressed_answer_is_refused_whatever_stands_beside(server: HostileServer, query: str) -> None:
    rejection = rejected(downloader(), server.url(f"/coded/shirt.jpg?{query}"))
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert "Content-Encoding" in rejection.detail


def test_a_page_called_jpg_is_left_to_the_decoder(server: HostileServer) -> None:
    assert downloader().download(server.url("/html.jpg")).startswith(b"<!doctype html>")


def test_an_empty_body_is_left_to_the_fetcher(server: HostileServer) -> None:
    assert downloader().download(server.url("/empty")) == b""


def test_what_is_announced_as_too_large_is_not_read(server: HostileServer) -> None:
    rejection = rejected(downloader(timeout=20.0), server.url("/announced"))
    assert rejection.reason is RejectionReason.FETCH_TOO_LARGE
    assert f"{server.huge_bytes} bytes" in rejection.detail


# Time


@pytest.mark.parametrize("path", ["/never", "/drip", "/slow-headers"])
def test_the_deadline_holds_over_the_whole_answer(path: str) -> None:
    with HostileServer(address=SERVER, drip_seconds=0.02) as own:
        started = time.monotonic()
        rejection = rejected(downloader(timeout=0.15, retries=5), own.url(path))
        assert rejection.reason is RejectionReason.FETCH_TIMEOUT
        assert 0.14 < time.monotonic() - started < 10
        assert own.requests[path] == 1


def test_the_deadline_holds_over_all_redirects() -> None:
    with HostileServer(address=SERVER) as own:
        parts = downloader(timeout=0.2, max_redirects=1_000_000)
        started = time.monotonic()
        assert rejected(parts, own.url("/loop")).reason is RejectionReason.FETCH_TIMEOUT
        assert time.monotonic() - started < 10


def test_a_silent_tls_handshake_ends_at_the_deadline() -> None:
    with socket.create_server((SERVER, 0)) as silent:
        url = f"https://{SERVER}:{silent.getsockname()[1]}/shirt.jpg"
        started = time.monotonic()
        assert rejected(downloader(timeout=0.15), url).reason is RejectionReason.FETCH_TIMEOUT
        assert time.monotonic() - started < 10


def test_a_connection_that_is_never_made_is_given_up() -> None:
    connector = RecordingConnector(TimeoutError("timed out"))
    rejection = rejected(downloader(connector=connector), "http://8.8.8.8/a.jpg")
    assert rejection.reason is RejectionReason.FETCH_TIMEOUT
    assert "fetch.connect_timeout" in rejection.detail


def test_one_connection_has_a_limit_of_its_own() -> None:
    connector = RecordingConnector()
    parts = downloader({"two.test": ["8.8.8.8", "8.8.4.4"]}, connector, connect_timeout=0.5)
    rejected(parts, "http://two.test/a.jpg")
    assert connector.timeouts == [0.5, 0.5]


def test_a_stalled_image_does_not_hold_up_the_others(server: HostileServer) -> None:
    parts = downloader(timeout=1.0)
    with ThreadPoolExecutor(4) as threads:
        stalled = [threads.submit(parts.download, server.url("/never")) for _ in range(3)]
        assert parts.download(server.url("/ok/shirt.jpg")) == PHOTO
        for future in stalled:
            assert isinstance(future.exception(), Rejection)


@pytest.mark.parametrize("path", ["/never", "/slow-headers"])
def test_the_header_has_a_deadline_of_its_own(path: str) -> None:
    with HostileServer(address=SERVER, drip_seconds=0.02) as own:
        started = time.monotonic()
        rejection = rejected(downloader(timeout=20.0, first_byte_timeout=0.1), own.url(path))
        assert rejection.reason is RejectionReason.FETCH_TIMEOUT
        assert "first_byte_timeout" in rejection.detail
        assert time.monotonic() - started < 10


def test_a_body_may_take_longer_than_the_header() -> None:
    with HostileServer(address=SERVER, drip_seconds=0.0025) as own:
        started = time.monotonic()
        assert downloader(timeout=60.0, first_byte_timeout=2.0).download(own.url("/drip")) == b"x" * 1000
        assert time.monotonic() - started > 2.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0", 0), ("soon", None), ("", None), ("9" * 30, None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_a_server_that_asks_for_patience_is_not_asked_again(value: str, seconds: float | None) -> None:
    with HostileServer(address=SERVER) as own:
        with pytest.raises(StoreFailed) as raised:
            downloader(retries=1).download(own.url(f"/busy?after={quote(value)}"))
        assert raised.value.retry_after == seconds
        assert raised.value.host == f"{SERVER}:{own.port}"
        assert own.requests["/busy"] == (1 if seconds else 2)


# Retries


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.fetch.download._FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_recovers_is_asked_again() -> None:
    with HostileServer({"shirt.jpg": PHOTO}, SERVER) as own:
        assert downloader(retries=2).download(own.url("/flaky/2/shirt.jpg")) == PHOTO
        assert own.requests["/flaky/2/shirt.jpg"] == 3


@pytest.mark.usefixtures("short_pauses")
def test_retries_are_counted() -> None:
    with HostileServer(address=SERVER) as own:
        rejected(downloader(retries=1), own.url("/503"))
        assert own.requests["/503"] == 2


@pytest.mark.parametrize("path", ["/404", "/403"])
def test_a_final_answer_is_not_asked_for_again(path: str) -> None:
    with HostileServer(address=SERVER) as own:
        rejected(downloader(retries=3), own.url(path))
        assert own.requests[path] == 1


def test_a_pause_that_would_end_after_the_deadline_is_not_made(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.fetch.download._FIRST_PAUSE", 10.0)
    started = time.monotonic()
    rejection = rejected(downloader(retries=1000), server.url("/502"))
    assert rejection.reason is RejectionReason.FETCH_UNREACHABLE
    assert time.monotonic() - started < 10
    assert server.requests["/502"] == 1


@pytest.mark.usefixtures("short_pauses")
def test_a_refused_connection_is_tried_again_then_unreachable() -> None:
    connector = RecordingConnector()
    rejection = rejected(downloader(connector=connector, retries=1), "http://8.8.8.8/a.jpg")
    assert rejection.reason is RejectionReason.FETCH_UNREACHABLE
    assert connector.attempts == [(ip_address("8.8.8.8"), 80)] * 2


def test_closing_ends_a_pause_and_is_not_blamed_on_the_image() -> None:
    with HostileServer(address=SERVER) as own:
        parts = downloader(retries=8, timeout=20.0)
        threading.Timer(0.1, parts.close).start()
        started = time.monotonic()
        with pytest.raises(StageError, match="closed"):
            parts.download(own.url("/503"))
        assert time.monotonic() - started < 5


def test_closing_closes_idle_connections(server: HostileServer) -> None:
    connector = RecordingConnector()
    parts = downloader(connector=connector)
    parts.download(server.url("/ok/shirt.jpg"))
    parts.close()
    assert [stream.get_extra_info("socket").fileno() for stream in connector.streams] == [-1]


# Redirects


def test_redirects_are_followed_up_to_the_limit(server: HostileServer) -> None:
    there = server.url("/ok/shirt.jpg")
    once = f"/redirect?to={there}"
    assert downloader(max_redirects=1).download(server.url(once)) == PHOTO
    rejection = rejected(downloader(max_redirects=0), server.url(once))
    assert rejection.reason is RejectionReason.FETCH_TOO_MANY_REDIRECTS


def test_a_relative_redirect_is_resolved(server: HostileServer) -> None:
    assert downloader().download(server.url("/redirect?to=../ok/shirt.jpg")) == PHOTO


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/ok/写真.jpg".encode(), "/ok/%E5%86%99%E7%9C%9F.jpg"),
        ("/ok/é à.jpg".encode(), "/ok/%C3%A9%20%C3%A0.jpg"),
        ("写真.jpg?q=靴".encode(), "/%E5%86%99%E7%9C%9F.jpg"),
        ("/ok/🎽.jpg#上".encode(), "/ok/%F0%9F%8E%BD.jpg"),
        (b"/ok/caf\xe9.jpg", "/ok/caf%E9.jpg"),
        (b"/ok/\x8e\xca\x90^.jpg", "/ok/%8E%CA%90%5E.jpg"),  # Shift JIS
        (b"/ok/%E5%86%99.jpg", "/ok/%E5%86%99.jpg"),
    ],
)
def test_a_location_outside_ascii_is_followed_as_browsers_do(location: bytes, asked: str) -> None:
    with HostileServer({}, SERVER) as own:
        rejected(downloader(), own.url(f"/moved?to={quote(location)}"))
        assert own.requests[asked] == 1, own.requests


@pytest.mark.parametrize(
    ("headers", "fetched"),
    [
        (["Location: /ok/shirt.jpg", "Location: /ok/shirt.jpg"], True),
        (["Location: /ok/shirt.jpg", "location: /ok/over"], False),
        (["Location: http://169.254.169.254/", "Location: /ok/shirt.jpg"], False),
        (["Location: /ok/shirt.jpg", "Location: "], False),
        (["Location: /ok/shirt.jpg", "Content-Length: 0", "Content-Length: 0"], True),
    ],
)
def test_a_redirect_to_two_places_is_followed_to_none(
    server: HostileServer, headers: list[str], fetched: bool
) -> None:
    url = server.url(f"/raw?status=302&header={'&header='.join(map(quote, headers))}")
    if fetched:
        assert downloader().download(url) == PHOTO
    else:
        assert rejected(downloader(), url).reason is RejectionReason.SOURCE_UNSUPPORTED


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: 5", "Content-Length: -5"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"],
    ],
)
def test_a_body_of_two_lengths_or_codings_is_no_http(server: HostileServer, headers: list[str]) -> None:
    url = server.url(f"/raw?status=200&header={'&header='.join(map(quote, headers))}")
    assert rejected(downloader(), url).reason is RejectionReason.FETCH_UNREACHABLE


def test_of_two_retry_after_the_longer_holds(server: HostileServer) -> None:
    with pytest.raises(StoreFailed) as raised:
        downloader().download(server.url("/raw?status=503&header=Retry-After:+90&header=Retry-After:+5"))
    assert raised.value.retry_after == 90


def test_a_location_may_name_a_host_outside_ascii(server: HostileServer) -> None:
    location = f"http://例え.test:{server.port}/ok/shirt.jpg".encode()
    parts = downloader(names={"xn--r8jz45g.test": [SERVER]})
    assert parts.download(server.url(f"/moved?to={quote(location)}")) == PHOTO


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://127.0.0.1:9092/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://private.test/",
        "//169.254.169.254/",
    ],
)
def test_a_redirect_to_a_forbidden_address_is_not_followed(server: HostileServer, target: str) -> None:
    connector = RecordingConnector()
    names = {"private.test": ["192.168.1.1"], "localhost": ["127.0.0.1", "::1"]}
    rejection = rejected(downloader(names, connector), server.url(f"/redirect?to={target}"))
    assert rejection.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert connector.attempts == [(ip_address(SERVER), server.port)]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://8.8.8.8/a", "http://a:secret@8.8.8.8/"])
def test_a_redirect_to_another_kind_of_url_is_not_followed(server: HostileServer, target: str) -> None:
    connector = RecordingConnector()
    rejection = rejected(downloader(connector=connector), server.url(f"/redirect?to={target}"))
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert len(connector.attempts) == 1


# Addresses: nothing is sent to a forbidden one


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://private.test/shirt.jpg",
        "https://private.test/shirt.jpg",
    ],
)
def test_a_forbidden_address_is_never_connected_to(url: str) -> None:
    connector = RecordingConnector()
    names = {"private.test": ["10.0.0.1", "fd00::1"], "localhost": ["127.0.0.1"]}
    rejection = rejected(downloader(names, connector), url)
    assert rejection.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert connector.attempts == []


def test_the_address_that_was_judged_is_connected_to() -> None:
    """A name that changes between two answers (DNS rebinding) is asked for once a connection."""

    class Rebinding(TableResolver):
        def __call__(self, host: str, timeout: float) -> Sequence[IPAddress]:
            found = super().__call__(host, timeout)
            self.table[host] = ["127.0.0.1"]
            return found

    resolver = Rebinding({"rebind.test": ["8.8.8.8"]})
    connector = RecordingConnector()
    book = AddressBook(resolver)
    pool = httpcore2.ConnectionPool(network_backend=VettedBackend(book, connector, 1.0))
    parts = Downloader(pool, DownloadLimits(schemes=("http",), retries=1), book.answers_otherwise)
    assert rejected(parts, "http://rebind.test/a.jpg").reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert connector.attempts == [(ip_address("8.8.8.8"), 80)]
    assert resolver.asked == ["rebind.test", "rebind.test"]


def test_the_next_address_is_tried_when_one_refuses(server: HostileServer) -> None:
    connector = RecordingConnector()
    parts = downloader({"two.test": ["8.8.8.8", "10.0.0.1", SERVER]}, connector)
    assert parts.download(server.url("/ok/shirt.jpg", "two.test")) == PHOTO
    assert connector.attempts == [(ip_address("8.8.8.8"), server.port), (ip_address(SERVER), server.port)]


def test_a_host_with_many_addresses_is_not_tried_for_ever() -> None:
    connector = RecordingConnector()
    names = {"many.test": [f"8.8.8.{last}" for last in range(1, 100)]}
    rejected(downloader(names, connector), "http://many.test/a.jpg")
    assert len(connector.attempts) == 4


# URLs


@pytest.mark.parametrize(
    "url", ["", "http://8.8.8.8\\@127.0.0.1/", "http:user:secret@8.8.8.8/a.jpg", "s3://bucket/key"]
)
def test_what_is_no_image_url_is_rejected_without_a_connection(url: str) -> None:
    connector = RecordingConnector()
    rejection = rejected(downloader(connector=connector), url)
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert connector.attempts == []


def test_a_scheme_that_is_not_configured_names_the_setting() -> None:
    rejection = rejected(downloader(schemes=("https",)), "http://8.8.8.8/a.jpg?secret")
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert "fetch.schemes" in rejection.detail


def test_a_path_outside_ascii_is_escaped_and_shown_as_it_was(server: HostileServer) -> None:
    rejection = rejected(downloader(), server.url("/目利き シャツ.jpg"))
    assert rejection.reason is RejectionReason.FETCH_NOT_FOUND
    assert "/目利き シャツ.jpg" in rejection.detail


def test_a_name_outside_ascii_is_looked_up_in_its_ascii_form(server: HostileServer) -> None:
    parts = downloader({"xn--bcher-kva.test": [SERVER]})
    assert parts.download(server.url("/ok/shirt.jpg", "bücher.test")) == PHOTO


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def tls_server(authority: trustme.CA) -> Iterator[HostileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.test").configure_cert(context)
    with HostileServer({"shirt.jpg": PHOTO}, SERVER, tls=context) as running:
        yield running


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_the_certificate_is_checked_for_the_name_not_the_address(
    tls_server: HostileServer, authority: trustme.CA
) -> None:
    parts = downloader({"shop.test": [SERVER]}, tls=trusting(authority))
    assert parts.download(tls_server.url("/ok/shirt.jpg", "shop.test")) == PHOTO


def test_a_certificate_for_another_name_is_refused(tls_server: HostileServer, authority: trustme.CA) -> None:
    parts = downloader({"other.test": [SERVER]}, tls=trusting(authority), retries=5)
    rejection = rejected(parts, tls_server.url("/ok/shirt.jpg", "other.test"))
    assert rejection.reason is RejectionReason.FETCH_UNREACHABLE
    assert "certificate" in rejection.detail
    assert "other.test" in rejection.detail


def test_a_certificate_of_an_unknown_authority_is_refused(tls_server: HostileServer) -> None:
    parts = downloader({"shop.test": [SERVER]})
    rejection = rejected(parts, tls_server.url("/ok/shirt.jpg", "shop.test"))
    assert "certificate" in rejection.detail


# Our own failures


class ScriptedStream(httpcore2.NetworkStream):
    """Answers with `answer`, or fails with it; keeps what was written."""

    def __init__(self, answer: bytes | OSError) -> None:
        self.answer = answer
        self.written = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if isinstance(self.answer, OSError):
            raise httpcore2.ReadError(self.answer)
        return self.answer

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.written += buffer

    def close(self) -> None:
        pass


def scripted(answer: bytes | OSError) -> tuple[Downloader, ScriptedStream]:
    stream = ScriptedStream(answer)
    book = AddressBook(TableResolver({}))
    backend = VettedBackend(book, lambda _address, _port, _timeout: stream, 1.0)
    pool = httpcore2.ConnectionPool(network_backend=backend)
    return Downloader(pool, DownloadLimits(schemes=("http",), retries=0), book.answers_otherwise), stream


def test_an_ipv6_address_stands_in_brackets_in_the_host_header() -> None:
    parts, stream = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert parts.download("http://[2606:4700:4700::1111]:8080/a.jpg") == b"x"
    assert b"\r\nHost: [2606:4700:4700::1111]:8080\r\n" in stream.written


def test_a_machine_that_runs_out_of_buffers_while_reading_is_ours() -> None:
    parts, _ = scripted(OSError(errno.ENOBUFS, "No buffer space available"))
    with pytest.raises(StageError, match="this machine"):
        parts.download("http://8.8.8.8/a.jpg")


def test_a_connection_reset_while_reading_is_the_inputs() -> None:
    parts, _ = scripted(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
    assert rejected(parts, "http://8.8.8.8/a.jpg").reason is RejectionReason.FETCH_UNREACHABLE


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETDOWN]
)
def test_a_want_of_this_machine_is_not_blamed_on_the_image(code: int) -> None:
    connector = RecordingConnector(OSError(code, "simulated"))
    with pytest.raises(StageError, match="this machine"):
        downloader(connector=connector, retries=2, timeout=0.5).download("http://8.8.8.8/a.jpg")
    is_waited_for = code not in {errno.EADDRNOTAVAIL, errno.ENETDOWN}
    assert (len(connector.attempts) > 1) is is_waited_for


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_want_that_passes_is_waited_for(code: int) -> None:
    parts, _ = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    backend = parts._pool._network_backend
    connect, wants = backend._connector, iter([OSError(code, "simulated")] * 2)

    def connector(*arguments: Any) -> Any:
        if (want := next(wants, None)) is not None:
            raise want
        return connect(*arguments)

    backend._connector = connector
    assert parts.download("http://8.8.8.8/a.jpg") == b"x"


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT])
@pytest.mark.parametrize("host", ["[2606:4700:4700::1111]", "[2a00:1450:4001:80e::200e]:8443"])
def test_a_machine_without_ipv6_rejects_what_has_nothing_else(code: int, host: str) -> None:
    connector = RecordingConnector(OSError(code, "simulated"))
    parts = downloader(connector=connector, route_known=False)
    assert rejected(parts, f"http://{host}/a.jpg").reason is RejectionReason.FETCH_UNREACHABLE


def test_running_out_of_files_is_not_blamed_on_the_image(server: HostileServer) -> None:
    import resource

    parts = downloader()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(StageError, match="Too many open files"):
            parts.download(server.url("/ok/shirt.jpg"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_route_to_the_internet_is_ours() -> None:
    connector = RecordingConnector(OSError(errno.ENETUNREACH, "Network is unreachable"))
    with pytest.raises(StageError, match="no route"):
        downloader(connector=connector, route_known=False).download("http://8.8.8.8/a.jpg")


@pytest.mark.parametrize(
    ("address", "code", "route_known"),
    [
        ("8.8.8.8", errno.ENETUNREACH, True),
        ("8.8.8.8", errno.EHOSTUNREACH, True),
        ("[2606:4700:4700::1111]", errno.ENETUNREACH, False),
    ],
)
def test_a_network_that_is_gone_beyond_our_own_is_the_inputs(
    address: str, code: int, route_known: bool
) -> None:
    connector = RecordingConnector(OSError(code, "unreachable"))
    parts = downloader(connector=connector, route_known=route_known)
    assert rejected(parts, f"http://{address}/a.jpg").reason is RejectionReason.FETCH_UNREACHABLE


def test_a_firewall_of_our_own_forbids() -> None:
    connector = RecordingConnector(PermissionError(errno.EPERM, "Operation not permitted"))
    rejection = rejected(downloader(connector=connector), "http://8.8.8.8/a.jpg")
    assert rejection.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert "firewall" in rejection.detail


def test_a_name_server_silent_about_every_name_is_ours() -> None:
    names = {"dark.test": socket.gaierror(socket.EAI_AGAIN, "try again")}
    parts = downloader(names, retries=1)
    with pytest.raises(StoreFailed) as nobody_knows:
        parts.download("http://dark.test/a.jpg")
    assert not nobody_knows.value.is_ours
    parts = downloader({**names, "ours.test": names["dark.test"]}, witnesses=["ours.test"])
    with pytest.raises(StoreFailed, match="DNS") as ours:
        parts.download("http://dark.test/a.jpg")
    assert ours.value.is_ours


def test_a_name_server_silent_about_one_name_is_the_inputs(server: HostileServer) -> None:
    silent = socket.gaierror(socket.EAI_AGAIN, "try again")
    parts = downloader({"dark.test": silent, "shop.test": [SERVER]})
    parts.download(server.url("/ok/shirt.jpg", "shop.test"))
    rejection = rejected(parts, "http://dark.test/a.jpg")
    assert rejection.reason is RejectionReason.FETCH_UNREACHABLE
    assert "other names" in rejection.detail


def test_a_name_without_an_address_is_the_inputs() -> None:
    connector = RecordingConnector()
    rejection = rejected(downloader(connector=connector, retries=5), "http://gone.test/a.jpg")
    assert rejection.reason is RejectionReason.FETCH_UNREACHABLE
    assert "gone.test" in rejection.detail
    assert connector.attempts == []
