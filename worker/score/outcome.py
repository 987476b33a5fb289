"""What becomes of an input event: a verdict, a removal, nothing, or a rejection."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from schemas.events import Code, ImageDeleted, ImageReviewed, ImageUploaded, Review, Tag
from schemas.policy import Decision, Reason
from worker.errors import Rejection, StoreFailed
from worker.score.served import Attribution
from worker.stream.kafka import Parking

# What a record tells of one image. A deletion that is parked is one that its store is asked about.
Event = ImageUploaded | ImageReviewed | ImageDeleted


@dataclass(frozen=True)
class Verdict:
    """An image was judged. `embedding` is float32 [dim], of unit length; `codes` come the largest first.

    Where the bundle has no embedding, `embedding` is None; `copy_vector` likewise. With `review` a person
    decided, else the policy. `attribution` is None where nothing was judged.
    """

    event: ImageUploaded | ImageReviewed
    image_sha256: str
    decision: Decision
    reasons: list[Reason]
    scores: dict[str, float]
    tags: list[Tag]
    embedding: NDArray[np.float32] | None
    decided_at: datetime
    codes: Sequence[Code] = ()
    tags_version: str | None = None
    review: Review | None = None
    copy_vector: NDArray[np.float32] | None = None
    attribution: Attribution | None = None


@dataclass(frozen=True)
class Removal:
    """An image was deleted by its owner, and with it the word of a person on it, if there was one."""

    event: ImageDeleted
    was_reviewed: bool = False


class PassOverReason(StrEnum):
    """Why an event has no outcome on any topic: nothing of it concerns what an image shows.

    Or it had its outcome already, and stands in a log that is read from its beginning again.
    """

    TEST = "test"
    IMAGE_UNCHANGED = "image_unchanged"
    OBJECT_STILL_THERE = "object_still_there"
    ALREADY_JUDGED = "already_judged"
    REVIEW_OVERTAKEN = "review_overtaken"
    OVERTAKEN = "overtaken"
    RETRY_MARK = "retry_mark"


@dataclass(frozen=True)
class PassedOver:
    """The event is right, and there is nothing to do: it is counted, and its offset advances."""

    reason: PassOverReason


@dataclass(frozen=True)
class Rejected:
    """The event is at fault and goes to the dead-letter topic. `event` is None where it cannot be read."""

    rejection: Rejection
    event: Event | None = None


@dataclass(frozen=True)
class Parked:
    """The image's store fails: the event comes back later. It gets its `parking` when it is committed."""

    failure: StoreFailed
    event: Event
    parking: Parking | None = None


@dataclass(frozen=True)
class Several:
    """No outcome yet: the record holds several events, and these are the values of a record for each."""

    values: tuple[bytes, ...]


Outcome = Verdict | Removal | PassedOver | Rejected | Parked


def outcome_name(outcome: Outcome) -> str:
    """What became of an event, in a word or two: a decision, or why there is none."""
    if isinstance(outcome, Verdict):
        return outcome.decision
    if isinstance(outcome, Removal):
        return "deleted"
    if isinstance(outcome, PassedOver):
        return f"passed over: {outcome.reason}"
    if isinstance(outcome, Parked):
        return f"parked: {outcome.failure.reason}"
    return f"rejected: {outcome.rejection.reason}"


def outcome_ids(outcome: Outcome) -> dict[str, str]:
    """`image_id` and `event_id`, where they could be read."""
    event = None if isinstance(outcome, PassedOver) else outcome.event
    return {} if event is None else {"image_id": event.image_id, "event_id": event.event_id}
