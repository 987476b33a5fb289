"""What an answer's headers say. One that comes twice is judged by all of its values, never by the last."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

Headers = Sequence[tuple[bytes, bytes]]

# Codings that change the bytes (IANA's HTTP Content Coding Registry). As in browsers, every other word says
# nothing: no word at all, `aws-chunked` (of the upload, kept by stores of the AWS SDKs' objects), `utf-8`.
_COMPRESSIONS: Final = set(
    b"gzip x-gzip deflate compress x-compress br zstd dcb dcz exi pack200-gzip aes128gcm".split()
)
_MOST_DIGITS = 9

_Value = TypeVar("_Value")


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Those of one name, equal ones once."""
    return _distinct(value for other, value in headers if other.lower() == name.lower())


def combined(headers: Headers) -> dict[str, str]:
    """Names in lower case; values that differ joined by commas (RFC 9110, 5.3)."""
    return {
        name.lower().decode("latin-1"): b", ".join(values(headers, name)).decode("latin-1")
        for name, _ in headers
    }


def compressions(headers: Headers) -> list[str]:
    """The compressions that the answer says it is under."""
    words = [word.strip() for word in b",".join(values(headers, b"content-encoding")).lower().split(b",")]
    return [word.decode("ascii") for word in words if word in _COMPRESSIONS]


def locations(headers: Headers) -> list[str]:
    """Where it redirects to, as browsers and curl read it: UTF-8, else bytes that are escaped as they are."""
    return _distinct(_location(value) for value in values(headers, b"location"))


def retry_after(headers: Headers) -> float | None:
    """Seconds that the server asks to be left alone for (RFC 9110, 10.2.3), the longest that it names."""
    said = [value.decode("latin-1").strip() for value in values(headers, b"retry-after")]
    found = [_seconds(part) for value in said for part in _parts(value)]
    return max((seconds for seconds in found if seconds is not None), default=None)


def _distinct(given: Iterable[_Value]) -> list[_Value]:
    return list(dict.fromkeys(given))


def _parts(value: str) -> list[str]:
    """Numbers that somebody on the way has joined; a date has a comma of its own."""
    parts = [part.strip() for part in value.split(",")]
    return parts if all(part.isdigit() for part in parts) else [value]


def _seconds(text: str) -> float | None:
    """Of a number of seconds, or of a date."""
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _location(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in value)
