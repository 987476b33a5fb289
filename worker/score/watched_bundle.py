"""Watched bundle: another bundle takes the place of the one that serves, while the worker runs.

The directory of `model.bundle` is looked at every few seconds (`model.bundle_interval`). Another bundle there
is checked, loaded and warmed by a thread, beside the one in use, and taken by the judge between two batches.
One that is damaged, does not run or does not fit is refused, counted and told, and the one in use stays.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import MekikiError
from worker.metrics import Metrics
from worker.model.bundle import Bundle
from worker.score.served import Served

logger = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int, int], ...]


class WatchedBundle:
    """The bundle that serves; use as a context manager. `current` belongs to one thread, the judge's."""

    def __init__(
        self,
        first: Served,
        directory: Path,
        load: Callable[[Path], Served],
        interval: float,
        metrics: Metrics,
        taken: Callable[[Bundle], object] = lambda _: None,
    ) -> None:
        """Begin with `first`, which was loaded from `directory`.

        Args:
            first: the bundle of the start.
            directory: what is watched; where it is a link, what it leads to is loaded.
            load: loads a bundle whole and warm, and raises MekikiError where it cannot take the place.
            interval: seconds between two looks.
            metrics: where bundles taken and refused are counted.
            taken: told of each that took the place, by the judge's thread.

        """
        self._current, self._directory, self._load = first, directory, load
        self._interval, self._metrics, self._taken = interval, metrics, taken
        self._next: Served | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bundle", daemon=True)
        for result in ("taken", "refused"):
            metrics.infer_bundles.labels(result)  # shown from the start, as 0
        self._seen: Signature | None = self._signature()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    def current(self) -> Served:
        """The bundle for the next batch."""
        with self._lock:
            taken, self._next = self._next, None
        if taken is not None:
            before, self._current = self._current, taken
            self._metrics.infer_bundles.labels("taken").inc()
            self._taken(taken.bundle)
            logger.info("bundle %s, before %s", taken.bundle.id, before.bundle.id)
        return self._current

    def look(self) -> None:
        """Load what is in the directory if it is something else than before."""
        signature = self._signature()
        if signature == self._seen:
            return
        if signature is None:
            logger.warning("there is no bundle in %s any more, the one in use stays", self._directory)
            self._seen = None
            return
        self._seen = signature
        try:
            served = self._load(self._directory.resolve())
        except MekikiError as error:
            self._metrics.infer_bundles.labels("refused").inc()
            logger.error("the bundle in %s is refused, the one in use stays: %s", self._directory, error)
            return
        if self._signature() != signature:
            return  # it changed while it was loaded: the next look takes it
        with self._lock:
            is_current = served.attribution == self._current.attribution
            self._next = None if is_current else served

    def _signature(self) -> Signature | None:
        """Of every file, so that one that is still being copied is looked at again; None where it is gone."""
        try:
            found = [(path.name, path.stat()) for path in sorted(self._directory.iterdir())]
        except OSError:
            return None
        return tuple((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in found)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.look()
            except Exception:
                # Memory, descriptors: the bundle in use serves on, and the next look tries again.
                logger.exception("looking at model.bundle failed")
                self._seen = None
