"""Where answers end on the wire, and what they may cost beside their bodies."""

import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from itertools import repeat

import h11
import httpcore2
import pytest
import trustme

from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from worker.errors import Rejection, StoreFailed
from worker.fetch.addresses import AddressBook
from worker.fetch.connections import VettedBackend
from worker.fetch.download import Downloader, DownloadLimits
from worker.fetch.framing import (
    LEAST_CHUNK_BYTES,
    MOST_HEAD_BYTES,
    MOST_INFORMATIONAL,
    MOST_LINE_BYTES,
    MOST_SMALL_CHUNKS,
    ChunkedBody,
    FramedStream,
)

HOST = "127.0.0.7"
LIMIT = 200_000
OK = b"HTTP/1.1 200 OK\r\n"
MINE = OK + b"Content-Length: 4\r\n\r\nmine"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
OTHERS = OK + b"Content-Length: 6\r\n\r\nothers"


class Answers:
    """Writes raw answers: one a request, each on the same connection while the client keeps it."""

    def __init__(self, answers: Iterator[list[bytes]], tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._answers = answers
        self._tls = tls
        self._listening = socket.create_server((HOST, 0))
        self._accepted = self._listening
        self.url = f"{'http' if tls is None else 'https'}://{HOST}:{self._listening.getsockname()[1]}/a.jpg"

    def serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with accepted, suppress(OSError):  # the client may have seen enough
                self._serve(accepted)

    def _serve(self, accepted: socket.socket) -> None:
        connection = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
        self._accepted = connection
        with connection:
            while connection.recv(4096):
                for part in next(self._answers):
                    connection.sendall(part)

    def close(self) -> None:
        for one in (self._listening, self._accepted):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def answering(*answers: bytes | list[bytes], tls: ssl.SSLContext | None = None) -> Iterator[Answers]:
    """Each answer once, the last one for ever."""
    parts = [one if isinstance(one, list) else [one] for one in answers]
    server = Answers((one for source in (parts, repeat(parts[-1])) for one in source), tls)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)


def downloader(
    tls: ssl.SSLContext | None = None, timeout: float = 5.0, connector: RecordingConnector | None = None
) -> Downloader:
    book = AddressBook(TableResolver({}), [ip_network(HOST)])
    pool = httpcore2.ConnectionPool(
        ssl_context=tls, network_backend=VettedBackend(book, connector or RecordingConnector(), 1.0)
    )
    limits = DownloadLimits(schemes=("http", "https"), timeout=timeout, max_bytes=LIMIT, retries=0)
    return Downloader(pool, limits, book.answers_otherwise)


def refused(answer: bytes | list[bytes]) -> StoreFailed:
    with answering(answer) as server, pytest.raises(StoreFailed) as caught:
        downloader().download(server.url)
    assert caught.value.reason is RejectionReason.FETCH_UNREACHABLE
    return caught.value


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


# What comes behind an answer


@pytest.mark.parametrize(
    "answer",
    [
        MINE + OTHERS,
        MINE + OTHERS[:-5],  # the next real answer would have its end
        MINE + b"\r\n",
        MINE + OK + b"X-Swallows: ",
        CHUNKED + chunk(b"mine") + b"0\r\n\r\n" + OTHERS,
        CHUNKED + chunk(b"mine") + b"0\r\nX-Sum: 1\r\n\r\n" + CHUNKED + chunk(b"others") + b"0\r\n\r\n",
        [CHUNKED, chunk(b"mine"), b"0\r\n\r\n" + OTHERS],
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + MINE + OTHERS,
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"mine") + b"0\r\n\r\n",
    ],
)
def test_what_comes_behind_an_answer_is_nobodys_image(answer: bytes | list[bytes]) -> None:
    with answering(answer, OTHERS.replace(b"others", b"second")) as server:
        parts = downloader()
        assert parts.download(server.url) == b"mine"
        assert parts.download(server.url) == b"second"
        assert server.connections == 2


def test_what_comes_later_is_nobodys_image_either() -> None:
    connector = RecordingConnector()
    with answering([MINE, OTHERS], OTHERS.replace(b"others", b"second")) as server:
        parts = downloader(connector=connector)
        assert parts.download(server.url) == b"mine"
        until = time.monotonic() + 10
        while not connector.streams[0].get_extra_info("is_readable") and time.monotonic() < until:
            time.sleep(0.001)
        assert parts.download(server.url) == b"second"


@pytest.mark.parametrize(
    "answer",
    [
        MINE,
        [MINE[:10], MINE[10:40], MINE[40:]],
        OK + b"Content-Length: 4\r\ncontent-length: 4\r\n\r\nmine",
        OK.replace(b"\r\n", b"\n") + b"Content-Length: 4\n\nmine",
        CHUNKED + chunk(b"mine") + b"0\r\n\r\n",
        CHUNKED + b"2;a=b\r\nmi\r\n02\r\nne\r\n000;z\r\nX-Sum: 1\r\n\r\n",
        [CHUNKED, *(bytes([byte]) for byte in chunk(b"mine", b';n="1"') + b"0\r\n\r\n")],
        b"HTTP/1.1 100 Continue\r\n\r\n" + MINE,
    ],
)
def test_an_answer_that_ends_in_order_leaves_its_connection(answer: bytes | list[bytes]) -> None:
    with answering(answer) as server:
        parts = downloader()
        assert {parts.download(server.url) for _ in range(3)} == {b"mine"}
        assert server.connections == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.mark.parametrize("behind", [b"", OTHERS, b" " * 9000])
def test_what_comes_behind_in_one_record_of_tls_is_seen_as_well(authority: trustme.CA, behind: bytes) -> None:
    """The body ends with what is read at first, so that no more of the record is asked for."""
    head = OK + b"Content-Length: %d\r\n\r\n"
    body = b"x" * (4096 - len(head % 4000))
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(HOST).configure_cert(serving)
    authority.configure_trust(trusting)
    answer = head % len(body) + body
    assert len(answer) == 4096
    with answering(answer + behind, answer, tls=serving) as server:
        parts = downloader(trusting)
        assert parts.download(server.url) == parts.download(server.url) == body
        assert server.connections == (2 if behind else 1)


# What an answer costs beside its body


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 x"])
def test_a_few_answers_of_status_1xx_come_first_and_no_more(status: bytes) -> None:
    before = b"HTTP/1.1 " + status + b"\r\nLink: </a.css>\r\n\r\n"
    with answering(before * MOST_INFORMATIONAL + MINE) as server:
        assert downloader().download(server.url) == b"mine"
    assert "1xx" in refused(before * (MOST_INFORMATIONAL + 1) + MINE).detail
    assert "1xx" in refused([before] * (MOST_INFORMATIONAL + 1) + [MINE]).detail


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"X-Long: " + b"x" * MOST_HEAD_BYTES + b"\r\n" + MINE.partition(b"\r\n")[2],
        OK + b"X-Many: 1\r\n" * (MOST_HEAD_BYTES // 10) + b"\r\n",
        (b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * (MOST_HEAD_BYTES // 8) + b"\r\n\r\n") * 9 + MINE,
        [OK, *[b"X-Slow: " + b"x" * 5000 + b"\r\n"] * 20, b"\r\n"],
    ],
)
def test_a_head_has_so_many_bytes_and_no_more(answer: bytes | list[bytes]) -> None:
    refused(answer)


def test_a_long_head_is_no_hindrance() -> None:
    with answering(OK + b"X-Policy: " + b"x" * 50_000 + b"\r\nContent-Length: 4\r\n\r\nmine") as server:
        assert downloader().download(server.url) == b"mine"


@pytest.mark.parametrize(
    "body",
    [
        b"1;" + b"e" * MOST_LINE_BYTES + b"\r\nx\r\n0\r\n\r\n",
        b"1" + b";a=b" * (MOST_LINE_BYTES // 4) + b"\r\nx\r\n0\r\n\r\n",
        b"1" + b" " * MOST_LINE_BYTES + b"\r\nx\r\n0\r\n\r\n",
        chunk(b"x") + b"0;" + b"e" * MOST_LINE_BYTES + b"\r\n\r\n",
        chunk(b"x") + b"0\r\nX-Sum: " + b"1" * MOST_LINE_BYTES + b"\r\n\r\n",
    ],
)
def test_a_line_between_chunks_has_so_many_bytes_and_no_more(body: bytes) -> None:
    assert str(MOST_LINE_BYTES) in refused(CHUNKED + body).detail


def test_extensions_as_somebody_may_send_them_are_no_hindrance() -> None:
    signed = chunk(b"mi", b";chunk-signature=" + b"0" * 64) + chunk(b"ne", b';a="b, c"; d')
    with answering(CHUNKED + signed + b"0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n") as server:
        assert downloader().download(server.url) == b"mine"


@pytest.mark.parametrize(
    "size", [b"FFFFFFFF", b"ffffffffffffffff", b"%x" % (LIMIT + 1), b"0" * 12 + b"fffffff"]
)
def test_a_chunk_that_is_too_large_is_not_read(size: bytes) -> None:
    with answering(CHUNKED + size + b"\r\n" + b"x" * 10) as server, pytest.raises(Rejection) as caught:
        downloader(timeout=60).download(server.url)
    assert caught.value.reason is RejectionReason.FETCH_TOO_LARGE


@pytest.mark.parametrize("size", [b"-5", b"+5", b"0x5", b"", b";a", b"five", b"5_0", b"1" * 21])
def test_a_chunk_without_a_size_is_no_http(size: bytes) -> None:
    refused(CHUNKED + size + b"\r\nabcde\r\n0\r\n\r\n")


def feed_chunks(wire: bytes, at_a_time: int) -> ChunkedBody:
    body = ChunkedBody(has_length=False)
    for at in range(0, len(wire), at_a_time):
        body.feed(wire[at : at + at_a_time])
    return body


@pytest.mark.parametrize(
    ("few", "times"),
    [
        (chunk(b"x"), MOST_SMALL_CHUNKS + 50),
        (chunk(b"x") + chunk(bytes(60)), MOST_SMALL_CHUNKS),
        (chunk(b"x" * (LEAST_CHUNK_BYTES // 2), b";a"), 2 * MOST_SMALL_CHUNKS + 200),
    ],
)
def test_a_body_is_not_cut_into_crumbs(few: bytes, times: int) -> None:
    with pytest.raises(httpcore2.RemoteProtocolError, match="chunks"):
        feed_chunks(few * times, 65_536)


@pytest.mark.parametrize("size", [(1, MOST_SMALL_CHUNKS), (LEAST_CHUNK_BYTES, MOST_SMALL_CHUNKS * 3 // 2)])
def test_chunks_of_a_modest_size_are_no_hindrance(size: tuple[int, int]) -> None:
    assert feed_chunks(chunk(bytes(size[0])) * size[1], 65_536).announced == size[0] * size[1]


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 7, 4096])
def test_chunks_are_followed_however_they_are_cut(at_a_time: int) -> None:
    body = feed_chunks(chunk(bytes(1)) + chunk(bytes(300)) + chunk(bytes(17)), at_a_time)
    assert (body.announced, body.is_over) == (318, False)
    for byte in b"0\r\nX: 1\r\n\r\n":
        assert not body.is_over
        body.feed(bytes([byte]))
    assert body.is_over
    body.feed(b"x")
    assert not body.is_over


# Where the client's parser sees the end


class Wire(httpcore2.NetworkStream):
    """Gives parts as they came."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        part = self.parts.pop(0) if self.parts else b""
        if part[max_bytes:]:
            self.parts.insert(0, part[max_bytes:])
        return part[:max_bytes]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass


def drawn_answer(draw: random.Random) -> list[bytes]:
    """An answer that is nearly right, in parts: line ends, sizes, extensions, trailers, what is behind."""
    end = draw.choice([b"\r\n"] * 8 + [b"\n"])
    body = bytes(draw.choices(b"ab\r\n0:HTTP/1.1 ;", k=draw.choice([0, 1, 3, 40])))
    head, wire = OK[:-2] + end, body
    if draw.random() < 0.6:
        head += draw.choice([b"Transfer-Encoding: chunked", b"tRANSFER-eNCODING: Chunked"]) + end
        wire, at = b"", 0
        while at < len(body):
            part = body[at : at + draw.randint(1, len(body))]
            wire += draw.choice([b"%x", b"%X", b"0%x"]) % len(part) + draw.choice(
                [b"", b";a=b", b" ;x", b" "]
            )
            wire += draw.choice([b"\r\n"] * 9 + [b"\n"]) + part + draw.choice([b"\r\n"] * 9 + [b"\n", b""])
            at += len(part)
        wire += draw.choice([b"0", b"000", b"0;z"]) + draw.choice([b"\r\n"] * 9 + [b"\n"])
        wire += draw.choice([b"", b"", b"X: 1\r\n", b"X: 1\n"]) + draw.choice(
            [b"\r\n"] * 5 + [b"\n", b" \r\n"]
        )
    if draw.random() < 0.5:
        head += b"Content-Length: %d" % max(0, len(body) + draw.choice([0, 0, 0, 1, -1])) + end
    early = b"".join(b"HTTP/1.1 103 x" + end + end for _ in range(draw.choice([0, 0, 1, 3])))
    data = bytearray(early + head + end + wire + draw.choice([b""] * 5 + [b"\r\n", b"x", OTHERS]))
    if draw.random() < 0.2:
        data[draw.randrange(len(data))] = draw.randrange(256)
    step = draw.choice([1, 2, 7, 50, 5000])
    return [bytes(data[at : at + step]) for at in range(0, len(data), step)]


def both_read(answer: list[bytes]) -> tuple[FramedStream, h11.Connection]:
    """The stream, and the client's parser above it, at the end of an answer, or where the parser gives up."""
    stream, client = FramedStream(Wire(list(answer))), h11.Connection(h11.CLIENT)
    for sent in (h11.Request(method="GET", target="/", headers=[("host", "x")]), h11.EndOfMessage()):
        stream.write(client.send(sent) or b"")
    while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        if event is h11.NEED_DATA:
            client.receive_data(stream.read(65_536))
        elif isinstance(event, h11.Response):
            stream.begin_body(event.headers.raw_items())
    return stream, client


def test_an_end_that_is_told_is_where_the_clients_parser_sees_it() -> None:
    draw, kept = random.Random(17), 0
    for _ in range(600):
        answer = drawn_answer(draw)
        try:
            stream, client = both_read(answer)
        except (h11.RemoteProtocolError, httpcore2.RemoteProtocolError):
            continue  # the client closes the connection
        if stream.has_ended():
            kept += 1
            assert client.their_state is h11.DONE, answer
            assert client.trailing_data[0] == b"", answer
    assert kept > 100
