"""What the demo finds missing: nothing of a complete run, and each part that is taken away."""

from collections.abc import Callable

import pytest

from schemas.rejection import RejectionReason
from tests.unit.demo.outcomes import World, upload
from worker.demo.observe import missing_outcomes
from worker.demo.uploads import Kind

ACCEPTED, BLOCKED, REJECTED, DELETED = (0, 0), (0, 1), (0, 2), (0, 3)


@pytest.fixture
def world() -> World:
    """One upload of every outcome, and an accepted one sent twice."""
    world = World()
    world.judge(upload(0), "accept")
    world.judge(upload(1), "block", text=0.9)
    world.reject(upload(2, Kind.BROKEN), RejectionReason.IMAGE_CORRUPT)
    world.delete(upload(3, Kind.DELETION))
    world.judge(upload(1, Kind.REPEAT), "block", text=0.9)
    return world


def test_nothing_is_missing_of_a_complete_run(world: World) -> None:
    assert missing_outcomes(world.published, world.seen) == []


def _no_verdict(world: World) -> None:
    del world.seen.verdicts[ACCEPTED]


def _no_tags(world: World) -> None:
    del world.seen.enriched[BLOCKED]


def _no_vector(world: World) -> None:
    del world.seen.embedded[ACCEPTED]


def _no_rejection(world: World) -> None:
    del world.seen.rejections[REJECTED]


def _both(world: World) -> None:
    world.seen.rejections[ACCEPTED] = world.seen.rejections[REJECTED]


def _one_tombstone_of_two(world: World) -> None:
    (twice,) = [event_id for event_id, count in world.seen.tombstones.items() if count == 2]
    world.seen.tombstones[twice] -= 1


def _not_removed(world: World) -> None:
    (once,) = [event_id for event_id, count in world.seen.tombstones.items() if count == 1]
    del world.seen.tombstones[once]


def _not_acknowledged(world: World) -> None:
    del world.seen.updates[DELETED]


@pytest.mark.parametrize(
    ("take_away", "told"),
    [
        (_no_verdict, "image-0: no outcome"),
        (_no_tags, "image-1: no tags"),
        (_no_vector, "image-0: no vector"),
        (_no_rejection, "image-2: no outcome"),
        (_both, "image-0: both a verdict and a rejection"),
        (_one_tombstone_of_two, "tombstone"),
        (_not_removed, "tombstone"),
        (_not_acknowledged, "acknowledgement of 1 records"),
    ],
)
def test_whatever_is_missing_is_told(world: World, take_away: Callable[[World], None], told: str) -> None:
    take_away(world)
    (missing,) = missing_outcomes(world.published, world.seen)
    assert told in missing
