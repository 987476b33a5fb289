"""Where in the log the index goes on after a start."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class LogRange:
    """The offsets that a partition holds: from `begin` up to, not including, `end`."""

    begin: int
    end: int


@dataclass(frozen=True)
class Resumption:
    """Which records to read, and which of them to acknowledge.

    `lost` says why the index on disk does not stand for this log, and must be emptied; None if it does.
    """

    start: dict[int, int]
    acknowledge_from: dict[int, int]
    lost: str | None


def resume(
    indexed: Mapping[int, int],
    log: Mapping[int, LogRange],
    committed: Mapping[int, int],
    by_others: Mapping[int, int] = MappingProxyType({}),
) -> Resumption:
    """Compare the offsets of the index, the log and the acknowledgements, each by partition.

    Reading starts where the index ends; it rebuilds the tail of what was acknowledged already, silently.
    Records from the committed offset on are acknowledged. Without one (the broker drops a group's
    offsets after a time of rest) everything that the index holds counts as acknowledged, because a
    generation is made of acknowledged records alone, and so does what other indexes have: `by_others`.
    """
    lost = _why_lost(indexed, log)
    held = {} if lost else indexed
    start, acknowledge_from = {}, {}
    for partition, there in log.items():
        first = held.get(partition, there.begin)
        known = committed.get(partition)
        if known is None or known > there.end:  # of a log that is no more
            known = first
            if first <= (others := by_others.get(partition, first)) <= there.end:
                known = others
        acknowledge_from[partition] = known
        start[partition] = max(there.begin, min(first, known))
    return Resumption(start, acknowledge_from, lost)


def _why_lost(indexed: Mapping[int, int], log: Mapping[int, LogRange]) -> str | None:
    for partition, offset in sorted(indexed.items()):
        there = log.get(partition)
        if there is None:
            return f"partition {partition} is gone"
        if offset > there.end:
            return f"partition {partition} ends at {there.end}, the index reaches to {offset}"
        if offset < there.begin:
            return f"partition {partition} begins at {there.begin}, the index reaches only to {offset}"
    return None
