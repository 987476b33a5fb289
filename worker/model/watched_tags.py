"""Watched tags: a tag set that is replaced while the worker runs (`model.tags`), see `replaceable.py`."""

import logging
from collections.abc import Callable
from pathlib import Path

from worker.metrics import Metrics
from worker.model.replaceable import Replaceable
from worker.model.tag import Tagger

logger = logging.getLogger(__name__)

Signature = tuple[int, int, int, int]


class WatchedTags(Replaceable[Tagger]):
    """The tag set in use. One that is damaged, foreign, or of other vectors is refused."""

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
        super().__init__(first, "model.tags", interval, metrics.tag_sets)
        self._path, self._load_from, self._metrics = path, load, metrics
        metrics.tag_set_info.labels(first.version).set(1)
        self.look()

    def _signature(self) -> Signature | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _load(self) -> Tagger:
        return self._load_from(self._path)

    def _taken(self, taken: Tagger, before: Tagger) -> None:
        before.close()
        self._metrics.tag_set_info.clear()
        self._metrics.tag_set_info.labels(taken.version).set(1)
        logger.info("tags %s, before %s: %d tags", taken.version, before.version, len(taken.names))

    def _discard(self, item: Tagger) -> None:
        item.close()
