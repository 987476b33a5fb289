"""The backend's own values; what a backend does is in backend_contract.py."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from worker.index.backend import IndexIdentity, Snapshot


def test_a_snapshots_age_counts_from_its_making_and_is_never_negative():
    now = datetime.now(UTC)
    assert 60 <= Snapshot("a", now - timedelta(minutes=1)).age() < 120
    assert Snapshot("a", now + timedelta(minutes=1)).age() == 0  # a clock that was set back


def test_identities_are_equal_when_vectors_may_meet():
    one = IndexIdentity(space="s", dim=4, topic="t")
    assert one == IndexIdentity(space="s", dim=4, topic="t")
    for changed in ({"space": "other"}, {"dim": 8}, {"topic": "other"}):
        assert one != one.model_copy(update=changed)


@pytest.mark.parametrize("dim", [0, -1])
def test_a_space_has_a_dimension(dim):
    with pytest.raises(ValidationError):
        IndexIdentity(space="s", dim=dim, topic="t")
