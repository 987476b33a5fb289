"""An index directory that no role owns, and the generation that a role would go on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import IndexDirectoryError
from worker.index.ngt.checksums import Damaged
from worker.index.ngt.directory import Generation, numbered, open_entry
from worker.index.ngt.generation import GenerationManifest, OldFormat, read_manifest
from worker.index.owner import OwnerLock


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """Own `directory` meanwhile, so that no role and no other command works in it.

    Raises:
        IndexDirectoryError: it is none, cannot be written, or another process owns it.

    """
    if not directory.is_dir():
        raise IndexDirectoryError(f"there is no index directory {directory}: name it by --directory")
    with OwnerLock(directory):
        yield directory


def generation_paths(directory: Path) -> list[Path]:
    """Its generations, the newest first, whole or not."""
    return [path for _, path in sorted(numbered(directory, "generation-*"), reverse=True)]


def newest_manifest(directory: Path) -> GenerationManifest:
    """The manifest of the newest generation in `directory`.

    Raises:
        IndexDirectoryError: there is none, or it is of an earlier release.
        Damaged: it is not the one that was written.

    """
    paths = generation_paths(directory)
    if not paths:
        raise IndexDirectoryError(f"{directory} holds no generation: an index role has not built one yet")
    try:
        return read_manifest(paths[0])
    except OldFormat:
        raise IndexDirectoryError(
            f"{paths[0]} is of an earlier release: start the index role once, which rebuilds it from the log"
        ) from None


def open_newest(directory: Path) -> Generation:
    """The newest generation in `directory`, every byte of it checked.

    Raises:
        IndexDirectoryError: there is none, or it is of an earlier release.
        Damaged: a file of it is not the one that was written. Nothing is set aside: the role does that.

    """
    manifest = newest_manifest(directory)
    try:
        segments = [open_entry(directory, manifest.identity, entry) for entry in manifest.segments]
    except Damaged as error:
        raise Damaged(f"{error}. `mekiki index verify` tells all that is wrong") from error
    return Generation(manifest, tuple(segments))
