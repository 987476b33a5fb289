"""What a dead letter becomes when it is sent back."""

from typing import Any, cast

import pytest

from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.replay import REPLAYS, Replay
from worker.stream.dead_letter import TIMESTAMP, dead_letter_record
from worker.stream.kafka import InputRecord

NOTHING = cast(Any, None)  # neither a consumer nor a delivery is asked
REPLAY = Replay(NOTHING, NOTHING, "uploads.dlq", frozenset({"uploads"}), None, 1.0)


@pytest.mark.parametrize(
    ("given", "counted"), [((), b"1"), (((REPLAYS, b"2"),), b"3"), (((REPLAYS, b"often"),), b"1")]
)
def test_replays_are_counted_whatever_a_producer_wrote_there(given: Any, counted: bytes) -> None:
    rejected = record(b"{}", key=b"k", headers=[("trace", b"1"), *given])
    letter = dead_letter_record("uploads.dlq", rejected, Rejection(RejectionReason.SOURCE_EMPTY, "empty"))
    read = InputRecord("uploads.dlq", 0, 7, letter.key, letter.value, letter.headers, 0)
    back = REPLAY._original(read)
    assert (back.topic, back.key, back.value) == ("uploads", b"k", b"{}")
    assert back.headers == (("trace", b"1"), (REPLAYS, counted), (TIMESTAMP, b"1700000000000"))
