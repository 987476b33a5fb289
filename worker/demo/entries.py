"""Entries of the report: each upload joined with what came of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.events import Code, IndexUpdated, Tag
from schemas.policy import Reason
from worker.demo.observe import DeadLetter, Seen
from worker.demo.publish import Published
from worker.demo.uploads import Kind, Upload

REJECT = "reject"
REMOVE = "remove"
MISSING = "missing"

# What each kind is for; the rest is not judged by it.
EXPECTED = {
    Kind.PHOTO: "accept",
    Kind.COPY: "accept",
    Kind.NOTICE: "block",
    Kind.CODE: "block",
    Kind.BROKEN: REJECT,
}


@dataclass(frozen=True)
class Entry:
    """An upload and its outcome: accept, review, block, reject, remove, or missing.

    Times are milliseconds after the upload; None where there was no such outcome.
    """

    upload: Upload
    sent_ms: int
    outcome: str
    reasons: Sequence[Reason] = ()
    scores: Sequence[tuple[str, float]] = ()
    codes: Sequence[Code] = ()
    tags: Sequence[Tag] = ()
    preference: float | None = None
    verdict_ms: float | None = None
    update: IndexUpdated | None = None
    searchable_ms: float | None = None
    rejection: DeadLetter | None = None

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is what the upload was made for; of a broken one, with its reason."""
        if self.upload.expected is not None:
            return self.rejection is not None and self.rejection.reason == self.upload.expected
        return EXPECTED.get(self.upload.kind, self.outcome) == self.outcome

    @property
    def group(self) -> str:
        """The image that this one is, or is a copy of."""
        return self.upload.original or self.upload.image_id


def entries_of(published: Iterable[Published], seen: Seen) -> list[Entry]:
    """One entry for each published event, in the order of publishing."""
    return [_entry(each, seen) for each in published]


def _entry(each: Published, seen: Seen) -> Entry:
    upload = each.upload
    if upload.kind == Kind.DELETION:
        return Entry(upload, each.sent_ms, REMOVE)
    if (rejection := seen.rejections.get(each.position)) is not None:
        return Entry(upload, each.sent_ms, REJECT, rejection=rejection)
    verdict, enriched = seen.verdicts.get(each.position), seen.enriched.get(each.position)
    if verdict is None:
        return Entry(upload, each.sent_ms, MISSING)
    embedded = seen.embedded.get(each.position)
    update = None if embedded is None else seen.updates.get(embedded)
    return Entry(
        upload,
        each.sent_ms,
        verdict.decision,
        reasons=verdict.reasons,
        scores=sorted(verdict.scores.items()),
        codes=verdict.codes,
        tags=enriched.tags if enriched else (),
        preference=enriched.preference if enriched else None,
        verdict_ms=max(0.0, float(seen.verdict_ms[each.position] - each.sent_ms)),
        update=update,
        searchable_ms=None if update is None else update.indexed_at.timestamp() * 1000 - each.sent_ms,
    )
