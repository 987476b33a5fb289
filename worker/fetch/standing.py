"""Standing: what is known of one host from how it answered lately.

Times are on the monotonic clock, in seconds.
"""

import math
from dataclasses import dataclass

from worker.errors import StoreFailed

# A host that served in these seconds is one that images come from.
_LATELY = 600.0
# So many failures in a row are no accident of one image.
_FAILURES = 3
# How long a host that is down and that nobody knows is left alone: at first, which doubles, and at last.
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 300.0
# A server may ask for patience, but not for ever.
_LONGEST_RETRY_AFTER = 3600.0


@dataclass
class Standing:
    """How one host does. `patience` is how long it may fail before it counts as down."""

    patience: float
    served_at: float = -math.inf
    failing_since: float | None = None
    failures: int = 0
    not_before: float = -math.inf
    try_at: float = -math.inf
    last_failure: StoreFailed | None = None
    _pause: float = 0.0

    def served(self, now: float) -> None:
        """It answered."""
        self.served_at = now
        self.failing_since, self.failures, self.last_failure = None, 0, None
        self.try_at = -math.inf  # but a server that asked for patience gets it
        self._pause = 0.0

    def failed(self, began: float, now: float, failure: StoreFailed) -> None:
        """An attempt that began at `began` failed by the host's fault."""
        if began < self.served_at:
            return  # others were served meanwhile
        if self.failing_since is None:
            self.failing_since = began
        self.failures += 1
        self.last_failure = failure
        if failure.retry_after is not None:
            self.not_before = max(self.not_before, now + min(failure.retry_after, _LONGEST_RETRY_AFTER))
        if now >= self.try_at:
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self.try_at = max(now + self._pause, self.not_before)

    def is_proven(self, now: float) -> bool:
        """Whether images come from it: it served lately, or did until it began to fail."""
        return (self.failing_since or now) - self.served_at < _LATELY

    def is_down(self, now: float) -> bool:
        """Whether there is no use in asking it: it failed often and long enough, or asked for patience."""
        if self.not_before - now > self.patience:
            return True
        if self.failing_since is None:
            return False
        return self.failures >= _FAILURES and now - self.failing_since >= self.patience
