"""One moment of the index: which parts there were, and the last change that counts."""

from typing import NamedTuple

from worker.index.ngt.segment import Segment
from worker.index.tail import Tail


class View(NamedTuple):
    """What there was just after `change`; of each tail its first rows."""

    change: int
    segments: tuple[Segment, ...]
    tails: tuple[tuple[Tail, int], ...]
