"""Framing: where an answer ends on the wire, and what it may cost beside its body (RFC 9112, 6 and 7).

The client parses answers; this follows the same bytes below it, and is stricter. A connection serves another
image only if its answer ended exactly where it said that it would: what a server sends beyond that would be
taken for the next image's answer.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import httpcore2

from worker.fetch.headers import Headers
from worker.fetch.stream_around import StreamAround

# Of one answer: heads before the real one (status 1xx), and bytes of all heads.
MOST_INFORMATIONAL: Final = 16
MOST_HEAD_BYTES: Final = 65_536
# A line of a chunk's size and extensions, or of a trailer, in bytes.
MOST_LINE_BYTES: Final = 1024
# Chunks of any size; with more, they have so many bytes on average. Each costs the parser 10 us.
MOST_SMALL_CHUNKS: Final = 10_000
LEAST_CHUNK_BYTES: Final = 256
# Little is read at a time until the head is there: what it costs is known to so many bytes.
_HEAD_READ = 4096
_BLANK_LINE = re.compile(rb"\n\r?\n")
_BLANK_LINE_LENGTH = 3
_ENDS_OF_LINE = {b"\n", b"\r\n"}
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] +1(?!01)\d\d")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,20}(?![0-9A-Fa-f])")


class Body(Protocol):
    """Follows a body by its bytes, without keeping them."""

    @property
    def length(self) -> int | None:
        """How many bytes it has, where the head says so."""

    @property
    def announced(self) -> int:
        """How many bytes it has at least, as far as it was said."""

    @property
    def is_over(self) -> bool:
        """Whether it ended, and nothing came after it."""

    def feed(self, data: bytes) -> None:
        """Take what came next.

        Raises:
            httpcore2.RemoteProtocolError: it costs more than a body may.

        """


class AnnouncedBody:
    """A body whose length stands in the head."""

    def __init__(self, length: int) -> None:
        self.length = self.announced = length
        self._left = length

    @property
    def is_over(self) -> bool:
        """See Body."""
        return self._left == 0

    def feed(self, data: bytes) -> None:
        """See Body."""
        self._left -= len(data)


class BodyUntilClosed:
    """A body that ends with its connection, or of which nobody knows where it ends."""

    length = None
    announced = 0
    is_over = False

    def feed(self, data: bytes) -> None:
        """See Body."""
        del data


class ChunkedBody:
    """A body in chunks (RFC 9112, 7.1): a line with the size and extensions, the bytes, an end of line.

    `has_length`: a length is named beside, which chunks override. Who sends both may mean either (6.3), so
    that what comes behind is never trusted.
    """

    length = None

    def __init__(self, has_length: bool) -> None:
        self.announced = 0
        self._left = 0  # of a chunk and the end of line after it
        self._line = b""
        self._chunks = 0
        self._in_trailer = False
        self._has_ended = False
        self._has_more = has_length

    @property
    def is_over(self) -> bool:
        """See Body."""
        return self._has_ended and not self._has_more

    def feed(self, data: bytes) -> None:
        """See Body."""
        at = 0
        while at < len(data) and not self._has_ended:
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
                at += taken
            else:
                at = self._read_line(data, at)
        self._has_more |= at < len(data)

    def _read_line(self, data: bytes, at: int) -> int:
        """Take the rest of a line, or as much as is there; gives where it ended."""
        end = data.find(b"\n", at) + 1
        self._line += data[at : end or len(data)]
        if len(self._line) > MOST_LINE_BYTES:
            raise httpcore2.RemoteProtocolError(f"a line between chunks has over {MOST_LINE_BYTES} bytes")
        if not end:
            return len(data)
        line, self._line = self._line, b""
        if self._in_trailer:
            self._has_ended = line in _ENDS_OF_LINE
        else:
            self._begin_chunk(line)
        return end

    def _begin_chunk(self, line: bytes) -> None:
        found = _CHUNK_SIZE.match(line)
        if found is None:
            raise httpcore2.RemoteProtocolError("a chunk does not begin with its size")
        size = int(found[0], 16)
        self._chunks += 1
        self.announced += size
        if self._chunks > MOST_SMALL_CHUNKS + self.announced // LEAST_CHUNK_BYTES:
            raise httpcore2.RemoteProtocolError(f"over {MOST_SMALL_CHUNKS} chunks of hardly any bytes")
        self._in_trailer = size == 0
        self._left = size + 2 if size else 0


class _Heads:
    """The heads of one answer as they come: those of status 1xx, then the real one."""

    def __init__(self) -> None:
        self._bytes = b""
        self._begin = 0
        self._seen = 0
        self._informational = 0
        self.end: int | None = None

    def feed(self, data: bytes) -> None:
        """Take what came next.

        Raises:
            httpcore2.RemoteProtocolError: there are too many, or they have too many bytes.

        """
        self._bytes += data
        while self.end is None:
            blank = _BLANK_LINE.search(self._bytes, max(self._begin, self._seen - _BLANK_LINE_LENGTH))
            if blank is None:
                break
            if _INFORMATIONAL.match(self._bytes, self._begin):
                self._pass_over(blank.end())
            else:
                self.end = blank.end()
        self._seen = len(self._bytes)
        if (self._seen if self.end is None else self.end) > MOST_HEAD_BYTES:
            raise httpcore2.RemoteProtocolError(f"the answer's head has over {MOST_HEAD_BYTES} bytes")

    def rest(self) -> bytes | None:
        """What came after the heads; None where they have no end."""
        return None if self.end is None else self._bytes[self.end :]

    def _pass_over(self, end: int) -> None:
        self._begin = end
        self._informational += 1
        if self._informational > MOST_INFORMATIONAL:
            raise httpcore2.RemoteProtocolError(f"over {MOST_INFORMATIONAL} answers of status 1xx")


class FramedStream(StreamAround):
    """A stream that knows where the answer ends which it carries. For requests without a body."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        super().__init__(stream)
        self._heads = _Heads()
        self._body: Body | None = None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send of a request, which begins anew."""
        self._heads = _Heads()
        self._body = None
        super().write(buffer, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read of the answer.

        Raises:
            httpcore2.RemoteProtocolError: it costs more than an answer may.

        """
        if self._body is None:
            data = super().read(min(max_bytes, _HEAD_READ), timeout)
            self._heads.feed(data)
        else:
            data = super().read(max_bytes, timeout)
            self._body.feed(data)
        return data

    def begin_body(self, headers: Headers) -> Body:
        """The answer's head has been parsed: what comes now is its body.

        Raises:
            httpcore2.RemoteProtocolError: it costs more than a body may.

        """
        body, rest = _body_of(headers), self._heads.rest()
        if rest is None:
            body = BodyUntilClosed()
        self._body = body
        self._heads = _Heads()
        body.feed(rest or b"")
        return body

    def has_ended(self) -> bool:
        """Whether the answer ended where it said, with nothing behind it."""
        socket = self.get_extra_info("socket")
        is_more_there = isinstance(socket, ssl.SSLSocket) and socket.pending() > 0
        return self._body is not None and self._body.is_over and not is_more_there


@contextmanager
def framed(response: httpcore2.Response) -> Iterator[Body]:
    """Follow the body of `response`; its connection is closed at the end unless it ended in order.

    Raises:
        httpcore2.RemoteProtocolError: it costs more than a body may.

    """
    stream: FramedStream = response.extensions["network_stream"]
    try:
        yield stream.begin_body(response.headers)
    finally:
        if not stream.has_ended():
            stream.close()


def _body_of(headers: Headers) -> Body:
    """The client has refused what is no length, lengths that differ, and codings other than `chunked`."""
    named = {name.lower(): value for name, value in headers}
    if b"transfer-encoding" in named:
        return ChunkedBody(has_length=b"content-length" in named)
    if b"content-length" in named:
        return AnnouncedBody(int(named[b"content-length"]))
    return BodyUntilClosed()
