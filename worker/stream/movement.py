"""Whether a loop moves: what waits gets its outcome. Assigned, alive and idle is not ready."""

import time

from worker.health import Health


class Movement:
    """Satisfies the readiness `condition` while nothing waits, or outcomes are committed within `patience` s.

    Until the first of these it does not hold: rights that are missing show here. Used by the loop's thread.
    """

    def __init__(self, health: Health, condition: str, patience: float) -> None:
        self._health = health
        self._condition = condition
        self._patience = patience
        self._since: float | None = None  # something waits, and no outcome was committed

    def committed(self) -> None:
        """Outcomes were committed."""
        self._since = None
        self._health.satisfy(self._condition)

    def observe(self, waiting: int | None) -> None:
        """So many records wait between Kafka and their outcomes; None: it is not known yet."""
        if waiting == 0:
            self._since = None
            self._health.satisfy(self._condition)
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > self._patience:
            what = "what waits is not known" if waiting is None else f"{waiting} records wait"
            why = f"{what}, nothing was committed for {now - self._since:.0f} s"
            self._health.withdraw(self._condition, why)
