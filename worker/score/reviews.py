"""Reviews: the words of people that stand for images, and how they take the place of the policy's decisions.

A word holds for the image that the person saw, told by its digest: a later upload of the same id is judged
afresh unless it is that very image.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from schemas.events import ImageReviewed, ImageUploaded, Review, StandingReview
from worker.score.outcome import Outcome, PassedOver, PassOverReason, Removal, Verdict
from worker.stream.kafka import Headers, InputRecord, OutputRecord

Entry = tuple[InputRecord, Outcome]

# Of how many images the place of the latest upload or deletion is known.
_MOST_CHANGES = 200_000


class ReviewReader(Protocol):
    """Gives what stands on the compacted topic of reviews."""

    def read(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> Iterable[InputRecord]:
        """Every review record of the same numbers as `partitions`, of which `consumer` takes hold."""

    def close(self) -> None:
        """No more is read."""


class Reviews:
    """The words that stand in the assigned partitions. Used by the polling thread alone.

    What `applied` learns counts for good once `committed` is called: a batch that is not delivered is applied
    again with the same result.
    """

    def __init__(self, log: ReviewReader) -> None:
        self._log = log
        self._standing: dict[int, dict[str, StandingReview]] = {}
        self._pending: dict[tuple[int, str], StandingReview | None] = {}
        self._changed: OrderedDict[tuple[int, str], int] = OrderedDict()  # offset of the latest

    def take(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Read what stands in `partitions` before they are taken. Blocks.

        Raises:
            BrokerError: it cannot be read.

        """
        self._standing.update({at.partition: {} for at in partitions})
        for record in self._log.read(consumer, partitions):
            image_id = (record.key or b"").decode("utf-8", "replace")
            self._remember(record.partition, image_id, _parsed(record.value))

    def close(self) -> None:
        """Leave the topic of reviews."""
        self._log.close()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are not ours any more."""
        for at in partitions:
            self._standing.pop(at.partition, None)
        self._changed = OrderedDict(
            (place, offset) for place, offset in self._changed.items() if place[0] in self._standing
        )

    def applied(self, entries: Iterable[Entry]) -> list[Entry]:
        """The finished `entries`, in the order of the log, as people want them."""
        self._pending = {}
        return [(record, self._applied(record, outcome)) for record, outcome in entries]

    def committed(self) -> None:
        """What was last applied is durable."""
        for (partition, image_id), review in self._pending.items():
            self._remember(partition, image_id, review)
        self._pending = {}

    def _applied(self, record: InputRecord, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Removal):
            place = (record.partition, outcome.event.image_id)
            self._note_change(place, record.offset)
            known = self._stands(place) is not None
            self._pending[place] = None
            return replace(outcome, was_reviewed=known)
        if not isinstance(outcome, Verdict):
            return outcome
        event, place = outcome.event, (record.partition, outcome.event.image_id)
        if isinstance(event, ImageUploaded):
            self._note_change(place, record.offset)
            return _decided(outcome, self._stands(place))
        if self._is_overtaken(place, event, record.offset):
            return PassedOver(PassOverReason.REVIEW_OVERTAKEN)
        standing, before = standing_review(event), self._stands(place)
        if _is_same(standing, before):  # sent twice, or there is nothing to take back
            return PassedOver(PassOverReason.ALREADY_JUDGED)
        self._pending[place] = standing
        return _decided(outcome, standing)

    def _stands(self, place: tuple[int, str]) -> StandingReview | None:
        if place in self._pending:
            return self._pending[place]
        return self._standing.get(place[0], {}).get(place[1])

    def _is_overtaken(self, place: tuple[int, str], event: ImageReviewed, offset: int) -> bool:
        """Whether the image was uploaded again or deleted after what the person saw, before they spoke."""
        seen = event.overrules
        if seen is None or seen.partition != place[0]:
            return False
        return seen.offset < self._changed.get(place, -1) < offset

    def _note_change(self, place: tuple[int, str], offset: int) -> None:
        # What was parked comes back behind what is newer.
        self._changed[place] = max(offset, self._changed.get(place, -1))
        self._changed.move_to_end(place)
        if len(self._changed) > _MOST_CHANGES:
            self._changed.popitem(last=False)

    def _remember(self, partition: int, image_id: str, review: StandingReview | None) -> None:
        if review is None:
            self._standing.get(partition, {}).pop(image_id, None)
        elif partition in self._standing:
            self._standing[partition][image_id] = review


def _is_same(one: StandingReview | None, other: StandingReview | None) -> bool:
    """By the event: said again after no answer had come, it has another time."""
    return (one and one.event_id) == (other and other.event_id)


def _parsed(value: bytes | None) -> StandingReview | None:
    return StandingReview.model_validate_json(value) if value else None


def _decided(verdict: Verdict, standing: StandingReview | None) -> Verdict:
    if standing is None or standing.image_sha256 != verdict.image_sha256:
        return verdict
    review = Review(
        event_id=standing.event_id,
        reviewer=standing.reviewer,
        reason=standing.reason,
        reviewed_at=standing.reviewed_at,
        policy_decision=verdict.decision,
    )
    return replace(verdict, decision=standing.decision, review=review)


def standing_review(event: ImageReviewed) -> StandingReview | None:
    """What stands after `event`; None where it takes an earlier word back."""
    if event.decision == "undo":
        return None
    return StandingReview(
        event_id=event.event_id,
        image_id=event.image_id,
        image_sha256=event.image_sha256,
        decision=event.decision,
        reviewer=event.reviewer,
        reason=event.reason,
        reviewed_at=event.reviewed_at,
    )


def standing_record(
    topic: str, record: InputRecord, image_id: str, standing: StandingReview | None
) -> OutputRecord:
    """What stands after the event of `record`, for the topic of reviews: in the partition of its number."""
    headers: Headers = (("content-type", b"application/json"),)
    value = None if standing is None else standing.model_dump_json().encode()
    return OutputRecord(topic, image_id.encode(), value, headers, record.partition)


def blocked_unseen(event: ImageReviewed) -> Verdict:
    """A person blocks an image that cannot be seen any more: it must leave the index all the same."""
    return Verdict(
        event=event,
        image_sha256=event.image_sha256,
        decision="block",
        reasons=[],
        scores={},
        tags=[],
        embedding=None,
        decided_at=datetime.now(UTC),
    )
