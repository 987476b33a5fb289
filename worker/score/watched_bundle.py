"""Watched bundle: another bundle takes the place of the one that serves (`model.bundle_interval`).

See `worker/model/replaceable.py`. What stands in the directory of `model.bundle` is checked, loaded and
warmed by a thread.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from worker.metrics import Metrics
from worker.model.bundle import Bundle
from worker.model.replaceable import Replaceable
from worker.score.served import Served

logger = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int, int], ...]


class WatchedBundle(Replaceable[Served]):
    """The bundle that serves. One that is damaged, does not run or does not fit is refused."""

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
        super().__init__(first, "model.bundle", interval, metrics.infer_bundles)
        self._directory, self._load_from, self._tell = directory, load, taken
        self._seen = self._signature()

    def _signature(self) -> Signature | None:
        """Of every file, so that one that is still being copied is looked at again."""
        try:
            found = [(path.name, path.stat()) for path in sorted(self._directory.iterdir())]
        except OSError:
            return None
        return tuple((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in found)

    def _load(self) -> Served:
        return self._load_from(self._directory.resolve())

    def _taken(self, taken: Served, before: Served) -> None:
        self._tell(taken.bundle)
        logger.info("bundle %s, before %s", taken.bundle.id, before.bundle.id)

    def _is_serving(self, found: Served) -> bool:
        return found.attribution == self._current.attribution
