"""Beside: the next index, which is built while the current one serves, and can do it no harm.

Whatever it fails of, searches are the current index's again, and it is begun again after a pause.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from worker.errors import MekikiError
from worker.index.filling import Filling
from worker.index.role import IndexRole
from worker.index.serving import Searched, Serving
from worker.metrics import Metrics

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class NextIndex:
    """Runs what `build` gives, and lets it be searched through `serving` meanwhile."""

    def __init__(
        self,
        build: Callable[[], tuple[IndexRole, Searched, Filling]],
        serving: Serving,
        metrics: Metrics,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """Nothing is built yet. `metrics` are those of the process, not of the index beside.

        What is built is searched once it has caught up, and its topic is filled.
        """
        self._build = build
        self._serving = serving
        self._metrics = metrics
        self._pause = self._first_pause = first_pause
        self._stopping = threading.Event()
        self._role: IndexRole | None = None
        metrics.index_next_vectors.set_function(lambda: self._told(lambda it: it.index.size().vectors))
        metrics.index_next_ready.set_function(lambda: self._told(lambda it: it.is_ready()))
        metrics.index_next_serves.set_function(lambda: float(serving.chosen() is not serving.current))
        metrics.index_next_errors.inc(0)

    def _told(self, tell: Callable[[Searched], float]) -> float:
        beside = self._serving.next
        return 0.0 if beside is None else float(tell(beside))

    def stop(self) -> None:
        """Make `run` return. Safe in a signal handler."""
        self._stopping.set()
        if (role := self._role) is not None:
            role.stop()

    def run(self) -> None:
        """Keep the next index until `stop`."""
        while not self._stopping.is_set():
            try:
                self._once()
            except MekikiError as error:
                logger.error("the next index ends, and begins again in %g s: %s", self._pause, error)
                self._rest()
            except Exception:  # nothing of it may end the process that serves
                logger.exception("the next index ends, and begins again in %g s", self._pause)
                self._rest()

    def _rest(self) -> None:
        self._metrics.index_next_errors.inc()
        self._stopping.wait(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _once(self) -> None:
        role, searched, filling = self._build()
        self._role = role
        if self._stopping.is_set():
            role.stop()
        beside = replace(searched, is_ready=lambda: filling.is_done() and role.is_caught_up())
        self._serving.next = beside
        try:
            with filling:
                role.run()
        finally:
            if beside.is_ready():
                self._pause = self._first_pause
            self._serving.next = self._role = None
