"""The dead-letter record of a rejected event: its original key, bytes and headers, and why.

One of several events of a record is rejected alone: its bytes are then a notification of that one entry.

Header names are those of Kafka Streams' dead-letter queues (KIP-1034), so that tools for them
work here too; `mekiki.reason` carries the typed reason. Its record time is that of the rejection: with the
event's own, which may be older than the topic's retention, the broker would delete it at once. The event's
own is in `mekiki.timestamp`.
"""

import hashlib
from dataclasses import replace

from schemas.events import derived_event_id
from worker.errors import Rejection
from worker.stream.kafka import Headers, InputRecord, OutputRecord

EXCEPTION = "__streams.errors.exception"
MESSAGE = "__streams.errors.message"
STACKTRACE = "__streams.errors.stacktrace"
TOPIC = "__streams.errors.topic"
PARTITION = "__streams.errors.partition"
OFFSET = "__streams.errors.offset"
REASON = "mekiki.reason"
EVENT_ID = "mekiki.event_id"
ENTRY = "mekiki.entry"
TIMESTAMP = "mekiki.timestamp"
VALUE_BYTES = "mekiki.value_bytes"
VALUE_SHA256 = "mekiki.value_sha256"

OWN_HEADERS = frozenset(
    {EXCEPTION, MESSAGE, STACKTRACE, TOPIC, PARTITION, OFFSET, REASON, EVENT_ID, ENTRY, TIMESTAMP}
    | {VALUE_BYTES, VALUE_SHA256}
)

# A producer's clock may say anything, but no more than 64 bits.
_MAX_TIMESTAMP_DIGITS = 19

_REJECTED = "listing.image.rejected.v1"
_MAX_DETAIL_BYTES = 2000

# What a dead letter needs beside its event, at most: the headers above, names included.
DEAD_LETTER_HEADER_BYTES = 8192


def dead_letter_record(topic: str, record: InputRecord, rejection: Rejection) -> OutputRecord:
    """The record for `topic` that holds `record` as it came, and why it was rejected.

    Headers of an earlier rejection of the same event are replaced. The stack trace header stays
    empty: the fault is in the input, and `message` says which.
    """
    position = f"{record.topic}/{record.partition}/{record.offset}"
    entry: Headers = ()
    if record.entry is not None:
        position += f"/{record.entry}"
        entry = ((ENTRY, str(record.entry).encode()),)
    why: Headers = (
        (EXCEPTION, Rejection.__name__.encode()),
        (MESSAGE, shortened(rejection.detail)),
        (STACKTRACE, b""),
        (TOPIC, record.topic.encode()),
        (PARTITION, str(record.partition).encode()),
        (OFFSET, str(record.offset).encode()),
        (REASON, rejection.reason.encode()),
        (EVENT_ID, str(derived_event_id(_REJECTED, position)).encode()),
        *timestamp_header(record),
    )
    return OutputRecord(
        topic=topic,
        key=record.key,
        value=record.value,
        headers=original_headers(record.headers) + why + entry,
    )


def without_value(letter: OutputRecord) -> OutputRecord:
    """A dead letter that its topic does not take, without what may be large: the event's own.

    Its size and digest stay, and where the event stands in the log, as long as it does.
    """
    value = letter.value or b""
    what: Headers = (
        (VALUE_BYTES, str(len(value)).encode()),
        (VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()),
    )
    ours = tuple(header for header in letter.headers if header[0] in OWN_HEADERS)
    key = letter.key if letter.key is not None and len(letter.key) <= _MAX_DETAIL_BYTES else None
    return replace(letter, key=key, value=None, headers=ours + what)


def event_timestamp_ms(record: InputRecord) -> int:
    """Unix time in milliseconds of the record that first held the event: a replay's own is that of sending.

    Without a positive one, -1.
    """
    given = dict(record.headers).get(TIMESTAMP) or b""
    if given.isdigit() and len(given) <= _MAX_TIMESTAMP_DIGITS:  # a producer may set it too
        return int(given)
    return record.timestamp_ms if record.timestamp_ms > 0 else -1


def timestamp_header(record: InputRecord) -> Headers:
    """The header that keeps `event_timestamp_ms`; none where it is not known."""
    timestamp_ms = event_timestamp_ms(record)
    return ((TIMESTAMP, str(timestamp_ms).encode()),) if timestamp_ms > 0 else ()


def shortened(detail: str) -> bytes:
    """`detail` as UTF-8, cut between two characters; what cannot be encoded is escaped."""
    cut = detail.encode("utf-8", "backslashreplace")[:_MAX_DETAIL_BYTES]
    return cut.decode("utf-8", "ignore").encode()


def original_headers(headers: Headers) -> Headers:
    """`headers` without those that a rejection added."""
    return tuple(header for header in headers if header[0] not in OWN_HEADERS)
