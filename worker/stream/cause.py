"""The cause of a tombstone in its headers, since it has no value that could say: when, and which record."""

from datetime import datetime

from worker.stream.kafka import Headers, InputRecord

TIME = "mekiki.cause_time"
EVENT_ID = "mekiki.cause_event_id"
POSITION = "mekiki.cause_position"


def cause_headers(record: InputRecord, event_id: str, time: datetime) -> Headers:
    """Headers that name the event that `record` held: id, uploaded_at or deleted_at, and place."""
    position = f"{record.topic}/{record.partition}/{record.offset}"
    if record.entry is not None:
        position += f"/{record.entry}"
    return (
        (TIME, time.isoformat().encode()),
        (EVENT_ID, event_id.encode()),
        (POSITION, position.encode()),
    )


def cause_time(headers: Headers) -> datetime | None:
    """The time in `headers`; None where there is none, or what stands there is no time with a zone."""
    given = dict(headers).get(TIME) or b""
    try:
        time = datetime.fromisoformat(given.decode("ascii"))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
