"""Publish: an outcome to the records that carry it, one on each output topic or one dead letter."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from schemas.events import (
    EMBEDDED,
    ENRICHED,
    MODERATED,
    ImageEmbedded,
    ImageEnriched,
    ImageModerated,
    ImageReviewed,
    ImageShadowed,
    ImageUploaded,
    InputPosition,
    derived_event_id,
)
from schemas.vector import Vector
from worker.score.outcome import Outcome, Parked, PassedOver, Rejected, Removal, Verdict
from worker.score.reviews import standing_record, standing_review
from worker.score.served import Attribution
from worker.settings import TopicSettings
from worker.stream.best_effort import BestEffort
from worker.stream.cause import cause_headers
from worker.stream.dead_letter import REASON, dead_letter_record, without_value
from worker.stream.kafka import Headers, InputRecord, OutputRecord
from worker.stream.record_limits import RecordLimits
from worker.stream.registry import JSON, Write, as_json
from worker.stream.retry import parked_record
from worker.stream.trace_context import dead_letter_trace, trace_headers, with_missing

PREFERENCE = "preference"


class Publisher:
    """Turns outcomes into records. The same input event gives the same event ids, always.

    A verdict says itself what it came from; where nothing was judged, `first` stands on it: bundle and policy
    of the start. Without a space no image is searchable; the event's `preference` is the head of that name,
    or the first. `limits` is what topics take. `write` gives a topic's form of an event.
    """

    def __init__(
        self,
        topics: TopicSettings,
        first: Attribution,
        limits: RecordLimits | None = None,
        write: Write = as_json,
        content_type: str = JSON,
    ) -> None:
        self._topics = topics
        self._write = write
        self._content_type = content_type
        self._limits = limits or RecordLimits()
        self._first = first

    def __call__(self, record: InputRecord, outcome: Outcome) -> list[OutputRecord]:
        """The records that make `outcome` of `record` known, in the trace of `record`."""
        if isinstance(outcome, Parked):  # as it came: it comes back
            assert outcome.parking is not None
            return [parked_record(self._topics.retry, record, outcome.parking, outcome.failure)]
        trace = trace_headers(record)
        return [
            replace(made, headers=with_missing(made.headers, trace))
            for made in self._records(record, outcome)
        ]

    def _records(
        self, record: InputRecord, outcome: Rejected | PassedOver | Removal | Verdict
    ) -> list[OutputRecord]:
        if isinstance(outcome, Rejected):
            return self._rejected(record, outcome)
        if isinstance(outcome, PassedOver):
            return []
        if isinstance(outcome, Removal):
            deleted = outcome.event
            tombstone = self._tombstone(record, deleted.event_id, deleted.image_id, deleted.deleted_at)
            forgotten = standing_record(self._topics.reviews, record, deleted.image_id, None)
            return [tombstone, forgotten] if outcome.was_reviewed else [tombstone]
        records = self._verdict(record, outcome)
        if isinstance(outcome.event, ImageReviewed):
            review = outcome.event
            records.append(
                standing_record(self._topics.reviews, record, review.image_id, standing_review(review))
            )
        return records

    def _rejected(self, record: InputRecord, outcome: Rejected) -> list[OutputRecord]:
        """A dead letter; and an earlier image of an upload that is rejected must not stay searchable."""
        letter = dead_letter_record(self._topics.dead_letter, record, outcome.rejection)
        # Before it is measured: what was refused must not seem to fit.
        letter = replace(letter, headers=with_missing(letter.headers, dead_letter_trace(record)))
        records = [letter if self._limits.fits(letter) else without_value(letter)]
        if isinstance(outcome.event, ImageUploaded):
            event = outcome.event
            tombstone = self._tombstone(record, event.event_id, event.image_id, event.uploaded_at)
            why: Headers = ((REASON, outcome.rejection.reason.encode()),)
            records.append(replace(tombstone, headers=tombstone.headers + why))
        return records

    def _verdict(self, record: InputRecord, verdict: Verdict) -> list[OutputRecord]:
        event, by = verdict.event, verdict.attribution or self._first
        common = {
            "image_id": event.image_id,
            "listing_id": event.listing_id,
            "bundle_id": by.bundle_id,
            "image_sha256": verdict.image_sha256,
            "input": InputPosition(
                event_id=event.event_id,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                entry=record.entry,
            ),
            "uploaded_at": event.uploaded_at,
            "decided_at": verdict.decided_at,
        }
        preferences = {name: verdict.scores[name] for name in by.preferences if name in verdict.scores}
        moderated = ImageModerated(
            **common,
            event_id=derived_event_id(MODERATED, event.event_id),
            decision=verdict.decision,
            reasons=verdict.reasons,
            scores=verdict.scores,
            category=event.category,
            policy_sha256=by.policy_sha256,
            codes=list(verdict.codes),
            decided_by="person" if verdict.review else "policy",
            review=verdict.review,
        )
        enriched = ImageEnriched(
            **common,
            event_id=derived_event_id(ENRICHED, event.event_id),
            tags=verdict.tags,
            tags_version=verdict.tags_version,
            preference=verdict.scores.get(_preferred(by.preferences)),
            preferences={} if set(by.preferences) <= {PREFERENCE} else preferences,
        )
        records = [
            self._result(self._topics.moderated, moderated),
            self._result(self._topics.enriched, enriched),
        ]
        if verdict.decision != "accept" or verdict.embedding is None or by.space is None:
            # An earlier image of this id must not stay searchable.
            return [*records, self._tombstone(record, event.event_id, event.image_id, event.uploaded_at)]
        embedded = ImageEmbedded(
            **common,
            event_id=derived_event_id(EMBEDDED, event.event_id),
            space=by.space,
            vector=Vector.from_array(verdict.embedding),
            category=event.category,
            tags=[tag.name for tag in verdict.tags],
            preferences=preferences,
            copy_vector=None if verdict.copy_vector is None else Vector.from_array(verdict.copy_vector),
            copy_space=None if verdict.copy_vector is None else by.copy_space,
        )
        return [*records, self._result(self._topics.embedded, embedded)]

    def _result(self, topic: str, event: ImageModerated | ImageEnriched | ImageEmbedded) -> OutputRecord:
        return OutputRecord(
            topic=topic,
            key=event.image_id.encode(),
            value=self._write(topic, event),
            headers=_headers(str(event.event_id), event.type, self._content_type),
        )

    def _tombstone(self, record: InputRecord, cause: str, image_id: str, time: datetime) -> OutputRecord:
        return OutputRecord(
            topic=self._topics.embedded,
            key=image_id.encode(),
            value=None,
            headers=_headers(str(derived_event_id(EMBEDDED, cause)), EMBEDDED, JSON)
            + cause_headers(record, cause, time),
        )


def _preferred(preferences: Sequence[str]) -> str:
    return PREFERENCE if PREFERENCE in preferences else next(iter(preferences), "")


class ShadowPublisher:
    """Publishes what a shadow says as plain JSON, by `best_effort`: see `worker.score.shadow.Send`."""

    def __init__(self, topic: str, best_effort: BestEffort) -> None:
        self._topic, self._best_effort = topic, best_effort

    def __call__(self, event: ImageShadowed, told: Callable[[bool], None]) -> None:
        """See Send."""
        headers = _headers(str(event.event_id), event.type, JSON)
        value = event.model_dump_json().encode()
        self._best_effort.send(OutputRecord(self._topic, event.image_id.encode(), value, headers), told)

    def turn(self) -> None:
        """See Send."""
        self._best_effort.turn()


def _headers(event_id: str, event_type: str, content_type: str) -> Headers:
    """CloudEvents 1.0, binary mode of the Kafka binding."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", b"mekiki/score"),
        ("ce_type", event_type.encode()),
        ("content-type", content_type.encode()),
    )
