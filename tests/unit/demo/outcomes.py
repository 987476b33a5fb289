"""Uploads and outcomes as the report gets them, made by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from schemas.events import (
    EMBEDDED,
    ENRICHED,
    INDEX_UPDATED,
    MODERATED,
    ImageEnriched,
    ImageModerated,
    IndexUpdated,
    InputPosition,
    NearDuplicate,
    Tag,
    derived_event_id,
)
from schemas.policy import Decision, Reason
from schemas.rejection import RejectionReason
from worker.demo.entries import Entry
from worker.demo.observe import DeadLetter, Seen
from worker.demo.publish import Published
from worker.demo.uploads import Kind, Upload
from worker.stream.kafka import OutputRecord

BEGAN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
BEGAN_MS = int(BEGAN.timestamp() * 1000)


def upload(
    number: int,
    kind: Kind = Kind.PHOTO,
    *,
    picture: Path | None = None,
    note: str = "",
    original: str | None = None,
    expected: RejectionReason | None = None,
) -> Upload:
    return Upload(
        kind,
        f"image-{number}",
        f"event-{number}",
        "JSON, path",
        lambda _: OutputRecord("uploads", None, None),
        picture,
        note,
        original,
        expected,
    )


def entry(number: int, *, outcome: str, sent_ms: int = 0, verdict_ms: float | None = None) -> Entry:
    return Entry(upload(number), sent_ms, outcome, verdict_ms=verdict_ms)


class World:
    """Published uploads and what was seen of them; every upload is offset `number` of partition 0."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.seen = Seen()

    def publish(self, upload: Upload) -> tuple[int, int]:
        position = (0, len(self.published))
        self.published.append(Published(upload, position, BEGAN_MS + 100 * position[1]))
        return position

    def judge(
        self,
        upload: Upload,
        decision: Decision,
        *,
        text: float = 0.1,
        preference: float = 0.5,
        near: Sequence[tuple[str, float]] = (),
    ) -> tuple[int, int]:
        """A complete verdict, 40 ms after the upload; the embedded record has the same offset."""
        position = self.publish(upload)
        common = {
            "image_id": upload.image_id,
            "listing_id": None,
            "bundle_id": "test-1",
            "image_sha256": "0" * 64,
            "input": InputPosition(
                event_id=upload.event_id, topic="uploads", partition=0, offset=position[1]
            ),
            "uploaded_at": BEGAN,
            "decided_at": BEGAN,
        }
        reasons = (
            [] if decision == "accept" else [Reason(score="text", value=text, threshold=0.5, effect=decision)]
        )
        self.seen.verdicts[position] = ImageModerated(
            **common,
            event_id=derived_event_id(MODERATED, upload.event_id),
            decision=decision,
            reasons=reasons,
            scores={"text": text, "preference": preference},
            category=None,
            policy_sha256="0" * 64,
        )
        self.seen.verdict_ms[position] = self.published[-1].sent_ms + 40
        self.seen.enriched[position] = ImageEnriched(
            **common,
            event_id=derived_event_id(ENRICHED, upload.event_id),
            tags=[Tag(name="T-Shirt", score=0.75)],
            preference=preference,
        )
        self.embed(position, upload, accepted=decision == "accept", near=near)
        return position

    def embed(
        self,
        position: tuple[int, int],
        upload: Upload,
        *,
        accepted: bool,
        near: Sequence[tuple[str, float]] = (),
    ) -> None:
        """The embedded record of an outcome, and the index's acknowledgement 60 ms after the upload."""
        self.seen.embedded_records.add(position)
        self.seen.searchable[upload.image_id] = accepted
        if accepted:
            self.seen.embedded[position] = position
        else:
            self.seen.tombstones[str(derived_event_id(EMBEDDED, upload.event_id))] += 1
        self.seen.updates[position] = IndexUpdated(
            event_id=UUID(int=position[1]),
            image_id=upload.image_id,
            state="searchable" if accepted else "deleted",
            near_duplicates=[NearDuplicate(image_id=other, distance=distance) for other, distance in near],
            space="test",
            input=InputPosition(event_id="x", topic=INDEX_UPDATED, partition=0, offset=position[1]),
            indexed_at=datetime.fromtimestamp((self.published[-1].sent_ms + 60) / 1000, UTC),
        )

    def reject(
        self, upload: Upload, reason: RejectionReason, detail: str = "it is broken"
    ) -> tuple[int, int]:
        position = self.publish(upload)
        self.seen.rejections[position] = DeadLetter(reason, detail)
        return position

    def delete(self, upload: Upload) -> tuple[int, int]:
        position = self.publish(upload)
        self.embed(position, upload, accepted=False)
        return position
