"""What became of an event, in words and ids for logs and traces."""

import pytest

from schemas.events import ImageDeleted
from schemas.rejection import RejectionReason
from worker.errors import Rejection, StoreFailed
from worker.score.outcome import (
    Parked,
    PassedOver,
    PassOverReason,
    Rejected,
    Removal,
    outcome_ids,
    outcome_name,
)

EVENT = ImageDeleted(
    type="listing.image.deleted.v1", event_id="e1", image_id="i1", deleted_at="2026-01-02T03:04:05Z"
)
IDS = {"image_id": "i1", "event_id": "e1"}
GONE = Rejection(RejectionReason.FETCH_NOT_FOUND, "404")
AWAY = StoreFailed(RejectionReason.FETCH_TIMEOUT, "no answer", "store")


@pytest.mark.parametrize(
    ("outcome", "name", "ids"),
    [
        (Removal(EVENT), "deleted", IDS),
        (PassedOver(PassOverReason.TEST), "passed over: test", {}),
        (Rejected(GONE, EVENT), "rejected: fetch.not_found", IDS),
        (Rejected(GONE), "rejected: fetch.not_found", {}),
        (Parked(AWAY, EVENT), "parked: fetch.timeout", IDS),
    ],
)
def test_an_outcome_has_a_name_and_ids(outcome, name, ids):
    assert outcome_name(outcome) == name
    assert outcome_ids(outcome) == ids
