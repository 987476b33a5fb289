"""The index directory: its generations and segments, what a crash left behind, and which to go on from.

owner.lock              held by the process that owns the directory
generation-00000012/    published, never changed; the newest whose checksums hold counts
segment-00000007/       published, never changed; belongs to the generations that name it
building-*/             a build in progress; left by a crash, removed at the next start
damaged-*/              what failed its checksums, kept to be looked at
"""

import logging
import re
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from schemas.bundle import CopyHead
from worker.errors import IndexDirectoryError
from worker.index.backend import IndexIdentity
from worker.index.ngt.checksums import Damaged
from worker.index.ngt.copies import are_of
from worker.index.ngt.durable import sync_directory, sync_tree
from worker.index.ngt.generation import (
    GenerationManifest,
    OldFormat,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from worker.index.ngt.segment import Segment, open_segment, require_identity

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"(?:damaged-)?(generation|segment)-(\d{8,})")
_BUILDING = "building-"
_DISCARDED = "discarded-"
_DAMAGED = "damaged-"
_AT_ONCE = 2


@dataclass(frozen=True)
class Generation:
    """A generation with its segments open, those that count no more marked by change 0."""

    manifest: GenerationManifest
    segments: tuple[Segment, ...]


class IndexDirectory:
    """Generations and segments of one index under `path`, which the caller owns (see OwnerLock).

    `copy_space` is that of the copy vectors in what is built from now on; None: it is not known.
    """

    def __init__(self, path: Path, identity: IndexIdentity, copy_space: str | None = None) -> None:
        self.path = path
        self.identity = identity
        self.copy_space = copy_space
        self._last = {
            kind: max((number for number, _ in numbered(path, f"*{kind}-*", kind)), default=0)
            for kind in ("generation", "segment")
        }

    def remove_leftovers(self) -> None:
        """Remove what an interrupted build or clean-up left."""
        for pattern in (f"{_BUILDING}*", f"{_DISCARDED}*"):
            for path in self.path.glob(pattern):
                logger.info("removing %s, left by an interrupted run", path)
                shutil.rmtree(path, ignore_errors=True)

    def load_newest(self, max_age: float, copies: CopyHead | None = None) -> Generation | None:
        """Open the newest generation whose checksums hold and that is at most `max_age` seconds old.

        Damaged ones are set aside, with a line in the log. One whose copy vectors are not those of `copies`
        is as good as none: what the log has of these may have been left out.

        Raises:
            IndexDirectoryError: a generation belongs to another space, dimension or topic.

        """
        for _, path in sorted(numbered(self.path, "generation-*"), reverse=True):
            try:
                manifest = read_manifest(path)
                require_identity(path, manifest.identity, self.identity)
                if not self._is_young(manifest, max_age):
                    return None
                generation = Generation(manifest, self._open(manifest.segments))
                return generation if self._has(copies, generation) else None
            except OldFormat:
                logger.warning("%s is of an earlier release: the index is rebuilt from the log", path)
                return None
            except Damaged as error:
                logger.error("setting aside a damaged generation: %s", error)
                self._set_aside(path)
        return None

    def start_work(self) -> Path:
        """A fresh directory to build in, on the same file system."""
        return Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self.path))

    def publish_segment(self, built: Path) -> Path:
        """Give the durable directory `built`, in one of `start_work`, the name of a segment, by a rename."""
        target = self.path / f"segment-{self._next('segment'):08d}"
        built.rename(target)
        sync_directory(self.path)
        shutil.rmtree(built.parent, ignore_errors=True)
        return target

    def publish(self, manifest: GenerationManifest) -> None:
        """Make `manifest`, which names published segments, a generation: durable, by one atomic rename."""
        work = self.start_work()
        try:
            built = work / "generation"
            built.mkdir()
            write_manifest(built, manifest)
            sync_tree(built)
            built.rename(self.path / manifest.name)
            sync_directory(self.path)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def next_number(self) -> int:
        """A generation number that was never given before."""
        return self._next("generation")

    def prune(self, keep: int, in_use: Iterable[str] = ()) -> None:
        """Remove all but the newest `keep` generations, and segments that none of them names.

        Segments called as in `in_use`, and the newest of what is damaged, stay.
        """
        kept = sorted(numbered(self.path, "generation-*"), reverse=True)[:keep]
        for _, path in sorted(numbered(self.path, "generation-*"), reverse=True)[keep:]:
            self._discard(path)
        named = set(in_use)
        for _, path in kept:
            try:
                named.update(entry.name for entry in read_manifest(path).segments)
            except (Damaged, OldFormat):
                logger.warning("%s cannot be read: its segments may be removed", path)
        for _, path in numbered(self.path, "segment-*", "segment"):
            if path.name not in named:
                self._discard(path)
        for kind in ("generation", "segment"):
            for _, path in sorted(numbered(self.path, f"{_DAMAGED}{kind}-*", kind), reverse=True)[1:]:
                self._discard(path)

    def discard_generations(self) -> None:
        """Remove every generation and segment: none of them stands for the log any more."""
        for _, path in (*numbered(self.path, "generation-*"), *numbered(self.path, "segment-*", "segment")):
            self._discard(path)

    def bytes(self) -> int:
        """What all of it takes on disk; blocks for looking at every file."""
        return size_of(self.path)

    def _open(self, entries: list[SegmentEntry]) -> tuple[Segment, ...]:
        with ThreadPoolExecutor(_AT_ONCE, "open-segment") as threads:
            return tuple(threads.map(self._open_one, entries))

    def _open_one(self, entry: SegmentEntry) -> Segment:
        path = self.path / entry.name
        try:
            return open_entry(self.path, self.identity, entry)
        except Damaged:
            if path.exists():
                self._set_aside(path)
            raise

    def _is_young(self, manifest: GenerationManifest, max_age: float) -> bool:
        if manifest.age() <= max_age:
            return True
        logger.warning(
            "%s is %.0f s old, more than index.generation_max_age (%.0f s): the log may have dropped "
            "deletes since, so the index is rebuilt from the log",
            manifest.name,
            manifest.age(),
            max_age,
        )
        return False

    def _has(self, copies: CopyHead | None, generation: Generation) -> bool:
        held = [segment.copies for segment in generation.segments]
        if copies is None or are_of(held, copies.space, copies.dim):
            return True
        logger.warning(
            "%s holds no copy vectors of space %r: the index is rebuilt from the log",
            generation.manifest.name,
            copies.space,
        )
        return False

    def _next(self, kind: str) -> int:
        self._last[kind] += 1
        return self._last[kind]

    def _set_aside(self, path: Path) -> None:
        target = self.path / f"{_DAMAGED}{path.name}"
        try:
            path.rename(target)
            sync_directory(self.path)
        except OSError as error:
            raise IndexDirectoryError(f"{path} is damaged and cannot be set aside: {error}") from error

    def _discard(self, path: Path) -> None:
        # Renamed first: a half-removed one must not look like a damaged one.
        gone = self.path / f"{_DISCARDED}{path.name}"
        path.rename(gone)
        sync_directory(self.path)
        shutil.rmtree(gone, ignore_errors=True)


def numbered(directory: Path, pattern: str, kind: str = "generation") -> list[tuple[int, Path]]:
    """Those of `kind` (generation, segment) in `directory` by `pattern`, with their numbers, in no order."""
    matches = [(_NUMBERED.fullmatch(path.name), path) for path in directory.glob(pattern)]
    return [(int(match[2]), path) for match, path in matches if match and match[1] == kind]


def open_entry(directory: Path, identity: IndexIdentity, entry: SegmentEntry) -> Segment:
    """Check and open a segment of a generation in `directory`, those that count no more marked by change 0.

    Raises:
        Damaged: its files are not those that were written.
        IndexDirectoryError: it is whole, and belongs to another index.

    """
    segment = open_segment(directory / entry.name, identity, entry.digest)
    segment.died.update(dict.fromkeys(entry.dead, 0))
    return segment


def size_of(path: Path) -> int:
    """Bytes of all files under `path`; blocks for looking at every one."""
    return sum(_size(file) for file in path.rglob("*"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # removed meanwhile
        return 0
