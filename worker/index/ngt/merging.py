"""Which segments are merged: as many of a size as make one of the next, so that each vector is seldom moved.

Tiered compaction, as of LSM trees (O'Neil et al., 1996) and Lucene. Beyond MAX_IMAGES segments grow no
more, so that the cost of an append does not grow with the index.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

FANOUT = 4
SMALLEST_TIER = 2000
MAX_IMAGES = 160_000
# A segment of which more counts no more is written anew; before all else where it is mostly that: it costs
# each search more than it gives, and little to write.
MAX_DEAD_SHARE = 0.3
MOSTLY_DEAD_SHARE = 0.5


def plan(sizes: Sequence[tuple[int, int]]) -> list[int] | None:
    """The segments to merge next, by their places in `sizes`; None if there is nothing to gain.

    `sizes` are (images that count, images) of each.
    """
    if (place := _first_dead(sizes, MOSTLY_DEAD_SHARE)) is not None:
        return [place]
    tiers: dict[int, list[int]] = defaultdict(list)
    for place, (living, _) in enumerate(sizes):
        tiers[_tier(living)].append(place)
    for tier in sorted(tiers):
        places = sorted(tiers[tier], key=lambda place: sizes[place][0])[:FANOUT]
        if len(places) == FANOUT and sum(sizes[place][0] for place in places) <= MAX_IMAGES:
            return sorted(places)
    place = _first_dead(sizes, MAX_DEAD_SHARE)
    return None if place is None else [place]


def _first_dead(sizes: Sequence[tuple[int, int]], share: float) -> int | None:
    """The first segment of which more than `share` counts no more."""
    dead = (place for place, (living, images) in enumerate(sizes) if images - living > share * images)
    return next(dead, None)


def _tier(living: int) -> int:
    return 0 if living < SMALLEST_TIER else 1 + int(log(living / SMALLEST_TIER, FANOUT))
