"""Watched tags: a tag set that is replaced while the worker runs (`model.tags`).

The file is looked at every few seconds. Another one there is loaded by a thread, beside the set in use, and
taken by the judge between two batches. One that is damaged, foreign, or of other vectors is refused, counted
and told, and the set in use stays.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import MekikiError
from worker.metrics import Metrics
from worker.model.tag import Tagger

logger = logging.getLogger(__name__)

Signature = tuple[int, int, int, int]


class WatchedTags:
    """The tag set in use; use as a context manager. `current` belongs to one thread, the judge's."""

    def __init__(
        self,
        first: Tagger,
        path: Path,
        load: Callable[[Path], Tagger],
        interval: float,
        metrics: Metrics,
    ) -> None:
        """Begin with what is in `path`, or with `first` where nothing is there or it is refused.

        Args:
            first: the bundle's tags.
            path: the file that is watched.
            load: opens a set apart from the file, and raises BundleError where it does not fit.
            interval: seconds between two looks.
            metrics: where sets taken and refused are counted.

        """
        self._current, self._path, self._load = first, path, load
        self._interval, self._metrics = interval, metrics
        self._next: Tagger | None = None
        self._lock = threading.Lock()
        self._seen: Signature | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tags", daemon=True)
        for result in ("taken", "refused"):
            metrics.tag_sets.labels(result)  # shown from the start, as 0
        metrics.tag_set_info.labels(first.version).set(1)
        self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    def current(self) -> Tagger:
        """The set for the next batch."""
        with self._lock:
            taken, self._next = self._next, None
        if taken is not None:
            before, self._current = self._current, taken
            before.close()
            self._metrics.tag_set_info.clear()
            self._metrics.tag_set_info.labels(taken.version).set(1)
            self._metrics.tag_sets.labels("taken").inc()
            logger.info("tags %s, before %s: %d tags", taken.version, before.version, len(taken.names))
        return self._current

    def look(self) -> None:
        """Load the file if it is another one than before."""
        try:
            found = self._path.stat()
        except OSError as error:
            if self._seen is not None:
                logger.warning("model.tags cannot be looked at, the set in use stays: %s", error)
            self._seen = None
            return
        signature = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            tagger = self._load(self._path)
        except MekikiError as error:
            self._metrics.tag_sets.labels("refused").inc()
            logger.error("model.tags is refused, the set in use stays: %s", error)
            return
        with self._lock:
            before, self._next = self._next, tagger
        if before is not None:
            before.close()

    def _watch(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.look()
            except Exception:
                # Memory, descriptors: the set in use serves on, and the next look tries again.
                logger.exception("looking at model.tags failed")
                self._seen = None
