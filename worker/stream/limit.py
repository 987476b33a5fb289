"""The rejection limit: a bad deploy must not drain a topic into the DLQ."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from worker.settings import RejectionLimitSettings

# The pause between two probes grows to this many times the first.
_LONGEST_PAUSES = 10


class RejectionLimit:
    """The share of rejections among the latest outcomes."""

    def __init__(self, settings: RejectionLimitSettings) -> None:
        self._settings = settings
        self._latest: deque[bool] = deque(maxlen=settings.window)

    def exceeded_by(self, rejected: Iterable[bool]) -> str | None:
        """Whether these further outcomes (True: rejected) break the limit: a sentence if so."""
        outcomes = [*self._latest, *rejected]
        latest = list(islice(outcomes, max(0, len(outcomes) - self._settings.window), None))
        share = sum(latest) / max(len(latest), 1)
        if len(latest) < self._settings.minimum or share <= self._settings.ratio or self._settings.ratio == 1:
            return None
        limit = self._settings.ratio
        return f"{share:.0%} of the last {len(latest)} events were rejected, the limit is {limit:.0%}"

    def is_broken_by(self, rejected: Sequence[bool]) -> bool:
        """Whether the share of rejections among these outcomes alone, however few, is over the limit."""
        return bool(rejected) and sum(rejected) / len(rejected) > self._settings.ratio

    def next_pause(self, last: float) -> float:
        """Seconds until a halted loop probes, after a pause of `last` (0: it has only just halted)."""
        first = self._settings.probe_interval
        return min(max(2 * last, first), _LONGEST_PAUSES * first)

    def forget(self) -> None:
        """Begin to count anew."""
        self._latest.clear()

    def add(self, rejected: Iterable[bool]) -> None:
        """These outcomes were committed."""
        self._latest.extend(rejected)
