"""Whether a stage has not returned for too long, looked at from the thread that waits for it."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.errors import StageError

_LONGEST_TURN_SECONDS = 1.0


@dataclass
class _Running:
    what: str
    limit: float
    seconds: float = 0.0


class HangingWatch:
    """Counts how long what runs has been running. Entered by any thread, looked at by one.

    While the process stands still no time passes: between two looks a second at most.
    """

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}
        self._numbers = itertools.count()
        self._looked = time.monotonic()

    @contextmanager
    def running(self, what: str, limit: float) -> Iterator[None]:
        """Within, `what` runs, which may take `limit` seconds."""
        number = next(self._numbers)
        self._running[number] = _Running(what, limit)
        try:
            yield
        finally:
            del self._running[number]

    def look(self) -> None:
        """Look whether something hangs.

        Raises:
            StageError: it does.

        """
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LONGEST_TURN_SECONDS), now
        for running in list(self._running.values()):
            running.seconds += passed
            if running.seconds > running.limit:
                raise StageError(f"{running.what} has not returned for {running.limit:g} s: it hangs")
