"""The retry topic: events whose image's store fails, each with where it stood and when it comes back.

A parked event keeps its key, bytes and headers, and stands in the partition of the number that it had:
whoever owns that partition of the uploads reads it. An *overtaken* mark, without a value, says that an image
has had something newer since one of its events was parked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.errors import Rejection, StoreFailed
from worker.stream.dead_letter import MESSAGE, REASON, original_headers, shortened, timestamp_header
from worker.stream.dead_letter import TIMESTAMP as RECORD_TIME
from worker.stream.kafka import Headers, InputRecord, OutputRecord, Parking

KIND = "mekiki.retry.kind"
PARKED, OVERTAKEN = b"parked", b"overtaken"
TOPIC = "mekiki.retry.topic"
PARTITION = "mekiki.retry.partition"
OFFSET = "mekiki.retry.offset"
ENTRY = "mekiki.retry.entry"
IMAGE_ID = "mekiki.retry.image_id"
TIME = "mekiki.retry.event_time"
TYPE = "mekiki.retry.event_type"
ATTEMPTS = "mekiki.retry.attempts"
SINCE = "mekiki.retry.since"
DUE = "mekiki.retry.due"
HOST = "mekiki.retry.host"

OWN_HEADERS = frozenset(
    {KIND, TOPIC, PARTITION, OFFSET, ENTRY, IMAGE_ID, TYPE, TIME, ATTEMPTS, SINCE, DUE, HOST}
)


@dataclass(frozen=True, order=True)
class Moment:
    """What is newer of one image: by the time that its event names, then by place in the log."""

    time: datetime
    offset: int


@dataclass(frozen=True)
class Note:
    """What a record of the retry topic says of an image; `parking` is None for a mark.

    `host` is the one that failed; empty where that was not noted.
    """

    image_id: str
    moment: Moment
    parking: Parking | None
    host: str = ""


def parked_record(topic: str, record: InputRecord, parking: Parking, why: Rejection) -> OutputRecord:
    """The record for `topic` that holds the event of `record`, to come back at `parking.due_ms`."""
    entry: Headers = () if record.entry is None else ((ENTRY, str(record.entry).encode()),)
    own: Headers = (
        *_note(PARKED, parking.image_id, Moment(parking.time, record.offset)),
        (TYPE, parking.type.encode()),
        (TOPIC, record.topic.encode()),
        (PARTITION, str(record.partition).encode()),
        *entry,
        (ATTEMPTS, str(parking.attempts).encode()),
        (SINCE, str(parking.since_ms).encode()),
        (DUE, str(parking.due_ms).encode()),
        (HOST, why.host.encode() if isinstance(why, StoreFailed) else b""),
        (REASON, why.reason.encode()),
        (MESSAGE, shortened(why.detail)),
        *timestamp_header(record),
    )
    headers = original_headers(record.headers) + own
    return OutputRecord(topic, record.key, record.value, headers, record.partition)


def overtaken_record(topic: str, partition: int, image_id: str, moment: Moment) -> OutputRecord:
    """A mark for `topic`: the image has had an event of `moment`."""
    return OutputRecord(topic, image_id.encode(), None, _note(OVERTAKEN, image_id, moment), partition)


def read_note(record: InputRecord) -> Note | None:
    """What a record of the retry topic says; None where it was not written by a worker."""
    headers = dict(record.headers)
    try:
        time, image_id = datetime.fromisoformat(_text(headers, TIME)), _text(headers, IMAGE_ID)
        moment = Moment(time.astimezone(UTC), int(_text(headers, OFFSET)))
        if headers.get(KIND) == OVERTAKEN:
            return Note(image_id, moment, None)
        attempts, since, due, _ = (int(_text(headers, name)) for name in (ATTEMPTS, SINCE, DUE, PARTITION))
    except (ValueError, OverflowError):
        return None
    parking = Parking(image_id, _text(headers, TYPE), moment.time, attempts, since, due)
    return Note(image_id, moment, parking, _text(headers, HOST))


def unparked(record: InputRecord, parking: Parking) -> InputRecord:
    """The event of a parked `record`, as it first stood in the log."""
    headers = dict(record.headers)
    time = headers.get(RECORD_TIME) or b"-1"
    return replace(
        record,
        topic=_text(headers, TOPIC),
        partition=int(_text(headers, PARTITION)),
        offset=int(_text(headers, OFFSET)),
        entry=int(_text(headers, ENTRY)) if ENTRY in headers else None,
        headers=tuple(header for header in original_headers(record.headers) if header[0] not in OWN_HEADERS),
        timestamp_ms=int(time) if time.isdigit() else -1,
        parking=parking,
    )


def _note(kind: bytes, image_id: str, moment: Moment) -> Headers:
    return (
        (KIND, kind),
        (IMAGE_ID, image_id.encode()),
        (TIME, moment.time.astimezone(UTC).isoformat().encode()),
        (OFFSET, str(moment.offset).encode()),
    )


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")
