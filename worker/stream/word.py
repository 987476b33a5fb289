"""A person's word as a record of the uploaded topic, in the partition of the image's other events."""

from datetime import UTC, datetime

from schemas.events import (
    REVIEWED,
    ImageModerated,
    ImageReference,
    ImageReviewed,
    Overruled,
    Word,
    derived_event_id,
)
from worker.stream.kafka import Headers, OutputRecord


def reviewed(
    verdict: ImageModerated, image: ImageReference, word: Word, reviewer: str, reason: str | None = None
) -> ImageReviewed:
    """The event by which `reviewer` decides about what `verdict` was on.

    Its id derives from the verdict and the word: said twice about one verdict, it is one event.
    """
    return ImageReviewed(
        type=REVIEWED,
        event_id=str(derived_event_id(REVIEWED, f"{verdict.event_id}|{word}")),
        image_id=verdict.image_id,
        listing_id=verdict.listing_id,
        category=verdict.category,
        decision=word,
        reviewer=reviewer,
        reason=reason,
        image=image,
        image_sha256=verdict.image_sha256,
        uploaded_at=verdict.uploaded_at,
        reviewed_at=datetime.now(UTC),
        overrules=Overruled(
            event_id=str(verdict.event_id),
            decision=verdict.decision,
            partition=verdict.input.partition,
            offset=verdict.input.offset,
        ),
    )


def word_record(verdict: ImageModerated, event: ImageReviewed) -> OutputRecord:
    """`event` for the topic and the partition that the input of `verdict` came from."""
    headers: Headers = (("content-type", b"application/json"),)
    value = event.model_dump_json(exclude_none=True).encode()
    return OutputRecord(
        verdict.input.topic, verdict.image_id.encode(), value, headers, verdict.input.partition
    )
