"""What records of the uploaded and of the embedded topic say about images, as a replay needs to know."""

from dataclasses import replace

from pydantic import ValidationError

from schemas.events import ImageDeleted, ImageEmbedded, ImageReviewed, ImageUploaded
from worker.errors import Rejection
from worker.replay.history import ImageEvent, ReadEvents
from worker.score.outcome import Several
from worker.score.parse import Parser
from worker.score.parsed import PerhapsDeleted
from worker.stream.cause import cause_time
from worker.stream.kafka import InputRecord


def uploads_reader(parser: Parser) -> ReadEvents:
    """Reads events of the uploaded topic. What cannot be read, or concerns no image, is none.

    A version of an object that was removed, of which only the store knows whether it was the image, is
    none either: the store is asked for the image when the event comes back.
    """

    def read(record: InputRecord) -> list[ImageEvent]:
        try:
            parsed = parser(record)
        except Rejection:
            return []
        if isinstance(parsed, Several):
            parts = [replace(record, value=value, entry=n) for n, value in enumerate(parsed.values)]
            return [replace(event, value=part.value) for part in parts for event in read(part)]
        if isinstance(parsed, ImageReviewed):
            return [ImageEvent(parsed.image_id, parsed.event_id, parsed.reviewed_at)]
        if isinstance(parsed, PerhapsDeleted) or not isinstance(parsed, ImageUploaded | ImageDeleted):
            return []
        time = parsed.uploaded_at if isinstance(parsed, ImageUploaded) else parsed.deleted_at
        return [ImageEvent(parsed.image_id, parsed.event_id, time)]

    return read


def read_embedded(record: InputRecord) -> list[ImageEvent]:
    """Read a record of the embedded topic. One whose value cannot be read still concerns its key's image."""
    image_id = (record.key or b"").decode("utf-8", "replace")
    if record.value is None:
        event_id = dict(record.headers).get("ce_id") or b""
        return [ImageEvent(image_id, event_id.decode("utf-8", "replace"), cause_time(record.headers))]
    try:
        event = ImageEmbedded.read(record.value)
    except ValidationError:
        return [ImageEvent(image_id, f"{record.topic}/{record.partition}/{record.offset}", None)]
    return [ImageEvent(image_id, str(event.event_id), event.uploaded_at)]
