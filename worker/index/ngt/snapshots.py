"""When a generation is built, and what happens after a failure."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import Generation
from worker.index.ngt.live import Frozen, LiveIndex
from worker.metrics import Metrics
from worker.settings import IndexSettings

logger = logging.getLogger(__name__)

# A build copies the whole index: under steady change, building may take this share of the time.
_MAX_BUILDING_SHARE = 0.25
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 300.0


class Build(Protocol):
    """A running build: GenerationBuild, in the program."""

    outcome: Future[Generation]

    def cancel(self) -> None:
        """End it and leave nothing behind."""


class StartBuild(Protocol):
    """Starts a build of what was frozen; `afresh` asks for a graph that nothing was removed from."""

    def __call__(self, frozen: Frozen, *, afresh: bool) -> Build:
        """See the class."""


class Snapshots:
    """Builds generations of `live` beside the loop that calls `turn`; never blocks it.

    A failed build is tried again, later each time and with a graph made afresh; searches go on
    with the parts that there are, and nothing is lost, since the log has it all.
    """

    def __init__(
        self,
        live: LiveIndex,
        directory: IndexDirectory,
        start_build: StartBuild,
        settings: IndexSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._directory = directory
        self._start_build = start_build
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._running: Build | None = None
        self._began = clock()
        self._not_before = clock()
        self._failures = 0

    def turn(self) -> None:
        """Start a build that is due, or take in one that has ended. Every change so far is acknowledged."""
        if self._running is not None:
            if self._running.outcome.done():
                self._finish(self._running)
        elif self._is_due():
            self._start()

    def stop(self) -> None:
        """End a running build."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def _is_due(self) -> bool:
        now = self._clock()
        if now < self._not_before:
            return False
        generation = self._live.generation
        # A generation must not reach its maximal age on a quiet topic: then it would be of no use any more.
        aged = generation is not None and generation.age() > self._settings.generation_max_age / 2
        tail = self._live.size().tail
        waited = now - self._began > self._settings.snapshot_interval
        return tail >= self._settings.snapshot_records or (tail > 0 and waited) or aged

    def _start(self) -> None:
        frozen = self._live.freeze()
        self._began = self._clock()
        self._running = self._start_build(frozen, afresh=self._failures > 0)

    def _finish(self, build: Build) -> None:
        self._running = None
        took = self._clock() - self._began
        error = build.outcome.exception()
        if error is not None:
            self._fail(took, error)
            return
        generation = build.outcome.result()
        self._live.swap(generation)
        self._prune()
        self._failures = 0
        self._not_before = self._clock() + took * (1 / _MAX_BUILDING_SHARE - 1)
        self._metrics.index_build_seconds.labels("success").observe(took)
        logger.info("%s is in use: %d images, built in %.1f s", generation.name, len(generation), took)

    def _prune(self) -> None:
        try:
            self._directory.prune(self._settings.keep_generations)
        except OSError as error:  # the next generation's turn; searches and the log have no need of it
            logger.error("old generations of %s cannot be removed: %s", self._directory.path, error)

    def _fail(self, took: float, error: BaseException) -> None:
        wait = min(_FIRST_RETRY_SECONDS * 2**self._failures, _LAST_RETRY_SECONDS)
        self._failures += 1
        self._not_before = self._clock() + wait
        self._metrics.index_build_seconds.labels("failure").observe(took)
        logger.error("a generation could not be built, again in %.0f s: %s", wait, error, exc_info=error)
