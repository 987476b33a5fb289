"""The index directory: its generations, what a crash left behind, and which to go on from.

owner.lock              held by the process that owns the directory
generation-00000012/    published, never changed; the newest whose checksums hold counts
building-*/             a build in progress; left by a crash, removed at the next start
damaged-00000011/       a generation that failed its checksums, kept to be looked at
"""

import logging
import re
import shutil
import tempfile
from pathlib import Path

from worker.errors import IndexDirectoryError
from worker.index.backend import IndexIdentity
from worker.index.ngt.durable import sync_directory
from worker.index.ngt.generation import (
    DamagedGeneration,
    Generation,
    generation_name,
    open_generation,
)

logger = logging.getLogger(__name__)

_GENERATION = re.compile(r"(?:generation|damaged)-(\d{8,})")
_BUILDING = "building-"
_DISCARDED = "discarded-"
_DAMAGED = "damaged-"


class IndexDirectory:
    """Generations of one index under `path`, which the caller owns (see OwnerLock)."""

    def __init__(self, path: Path, identity: IndexIdentity) -> None:
        self.path = path
        self.identity = identity
        self._last_number = max((number for number, _ in self._numbered("*")), default=0)

    def remove_leftovers(self) -> None:
        """Remove what an interrupted build or clean-up left."""
        for pattern in (f"{_BUILDING}*", f"{_DISCARDED}*"):
            for path in self.path.glob(pattern):
                logger.info("removing %s, left by an interrupted run", path)
                shutil.rmtree(path, ignore_errors=True)

    def load_newest(self, max_age: float) -> Generation | None:
        """Open the newest generation whose checksums hold and that is at most `max_age` seconds old.

        Damaged ones are set aside, with a line in the log.

        Raises:
            IndexDirectoryError: a generation belongs to another space, dimension or topic.

        """
        for _, path in sorted(self._numbered("generation-*"), reverse=True):
            try:
                generation = open_generation(path, self.identity)
            except DamagedGeneration as error:
                logger.error("setting aside a damaged generation: %s", error)
                self._set_aside(path)
                continue
            if generation.age() <= max_age:
                return generation
            logger.warning(
                "%s is %.0f s old, more than index.generation_max_age (%.0f s): the log may have dropped "
                "deletes since, so the index is rebuilt from the log",
                generation.name,
                generation.age(),
                max_age,
            )
            return None
        return None

    def next_number(self) -> int:
        """A generation number that was never given before."""
        self._last_number += 1
        return self._last_number

    def start_work(self) -> Path:
        """A fresh directory to build in, on the same file system."""
        return Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self.path))

    def publish(self, built: Path, number: int) -> Path:
        """Make the durable directory `built` generation `number`, by one atomic rename."""
        target = self.path / generation_name(number)
        built.rename(target)
        sync_directory(self.path)
        return target

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` generations and the newest damaged one."""
        for pattern, kept in (("generation-*", keep), (f"{_DAMAGED}*", 1)):
            for _, path in sorted(self._numbered(pattern), reverse=True)[kept:]:
                self._discard(path)

    def discard_generations(self) -> None:
        """Remove every generation: none of them stands for the log any more."""
        for _, path in self._numbered("generation-*"):
            self._discard(path)

    def _numbered(self, pattern: str) -> list[tuple[int, Path]]:
        matches = [(_GENERATION.fullmatch(path.name), path) for path in self.path.glob(pattern)]
        return [(int(match[1]), path) for match, path in matches if match]

    def _set_aside(self, path: Path) -> None:
        target = self.path / path.name.replace("generation-", _DAMAGED)
        try:
            path.rename(target)
            sync_directory(self.path)
        except OSError as error:
            raise IndexDirectoryError(f"{path} is damaged and cannot be set aside: {error}") from error

    def _discard(self, path: Path) -> None:
        # Renamed first: a half-removed generation must not look like a damaged one.
        gone = self.path / f"{_DISCARDED}{path.name}"
        path.rename(gone)
        sync_directory(self.path)
        shutil.rmtree(gone, ignore_errors=True)
