"""One process owns an index directory at a time."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import IndexDirectoryError

LOCK_FILE = "owner.lock"


class OwnerLock:
    """An exclusive flock(2) on `directory`/owner.lock, which holds the owner's process id.

    The kernel drops it when the process ends, in whatever way, so that there are no stale locks.

    Raises:
        IndexDirectoryError: another process owns the directory, or it cannot be written.

    """

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise IndexDirectoryError(f"index.directory {directory} cannot be used: {error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise IndexDirectoryError(
                f"index.directory {directory} is owned by process {owner}: "
                "stop it, or set index.directory to another directory"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others own the directory; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
