"""Images in a folder: the worker's, and no other place, whatever a path says; or one that a person named."""

import errno
import math
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path, PurePath

from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, MekikiError, Rejection, StageError

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO waits for a writer.
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO}


# Nothing is left here for now, whatever is read.
_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_NOT_PERMITTED = {errno.EACCES, errno.EPERM}
# How often a file may be found to have changed while it was read, and the pause after each.
_CHANGES = 3
_CHANGE_PAUSE = 0.05
# A file that another read has succeeded beside in these seconds fails by itself.
_LATELY_SECONDS = 60.0


class ChangedMeanwhile(MekikiError):
    """Another file, or another content, came in between: half of one and half of the other is no image.

    `rejection` is what it comes to where that goes on.
    """

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection)
        self.rejection = rejection


class FolderReader:
    """Reads files below `folder`. Used from many threads at once.

    What cannot be read is tried again after each of `pauses` (seconds).

    Raises:
        ConfigurationError: `folder` is not a directory.

    """

    def __init__(self, folder: Path, max_bytes: int, pauses: Sequence[float] = (0.1, 0.5, 2.0)) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"fetch.folder: there is no directory {folder}")
        self._folder = Path(os.path.realpath(folder))
        self._max_bytes = max_bytes
        self._pauses = pauses
        self._succeeded = -math.inf  # when, by the monotonic clock

    def read(self, path: str, take_room: Callable[[int], None] = lambda _: None) -> bytes:
        """Read the regular file at `path`, relative to the folder; links may not lead out of it.

        `take_room` is asked for its bytes before they are read, and may refuse by an exception of its own.

        Raises:
            Rejection: outside the folder, not there, not a regular file, too large; or unreadable, again
                and again, while other files are read.
            StageError: the disk, the folder's permissions or this machine's resources failed.

        """
        for pause in (*self._pauses, None):
            try:
                data = self._read_unchanged(path, take_room)
            except OSError as error:
                if pause is None:
                    raise self._failed(path, error) from error
                time.sleep(pause)
            else:
                self._succeeded = time.monotonic()
                return data
        raise AssertionError("the last attempt returns or raises")

    def _read_unchanged(self, path: str, take_room: Callable[[int], None]) -> bytes:
        for _ in range(_CHANGES):
            try:
                return self._read(path, take_room)
            except ChangedMeanwhile:
                time.sleep(_CHANGE_PAUSE)
        try:
            return self._read(path, take_room)
        except ChangedMeanwhile as error:
            raise error.rejection from error

    def _read(self, path: str, take_room: Callable[[int], None]) -> bytes:
        try:
            with closing(self._opened(path)) as opened:
                return self._content(opened.descriptor, path, take_room)
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise StageError(f"fetch.folder {self._folder} is gone: mount it again") from error
            raise _not_found(path, "there is no such file") from error
        except OSError as error:
            if error.errno in _MISSING:
                raise _not_found(path, "there is no such file") from error
            if error.errno == errno.ELOOP:
                loops = _outside(path, "it leads through a link that loops or changes all the time")
                raise ChangedMeanwhile(loops) from error
            raise

    def _failed(self, path: str, error: OSError) -> Exception:
        """Whose fault it is, after the last attempt: this file's, or that of all that is read here."""
        alone = time.monotonic() - self._succeeded < _LATELY_SECONDS
        if error.errno in _NOT_PERMITTED:  # readable folder, unreadable file
            alone = self._opens()
        if error.errno in _SHORTAGE or not alone:
            return StageError(f"{path!r} in fetch.folder {self._folder} cannot be read: {error}")
        return Rejection(
            RejectionReason.FETCH_UNREADABLE,
            f"{path!r} cannot be read, though others can: {error.strerror}; mend it, send it again",
        )

    def _opens(self) -> bool:
        try:
            os.close(os.open(self._folder, _OPEN_FOLDER))
        except OSError:
            return False
        return True

    def _opened(self, path: str) -> "_Opened":
        return _Opened(self._folder, self._inside(path))

    def _inside(self, path: str) -> PurePath:
        if "\0" in path or not _encodable(path):
            raise _outside(path, "it holds a character that no file name can have")
        if path.startswith("/"):
            raise _outside(path, "it is absolute")
        real = Path(os.path.realpath(self._folder / path))
        if not real.is_relative_to(self._folder):
            raise _outside(path, "it leads out of the folder")
        return real.relative_to(self._folder)

    def _content(self, descriptor: int, path: str, take_room: Callable[[int], None]) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_found(path, "it is a directory or a special file")
        if status.st_size > self._max_bytes:
            raise Rejection(
                RejectionReason.FETCH_TOO_LARGE,
                f"{path!r} has {status.st_size} bytes, over the limit of {self._max_bytes}: "
                "send a smaller image, or raise fetch.max_bytes",
            )
        take_room(status.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size)
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise ChangedMeanwhile(
                Rejection(
                    RejectionReason.FETCH_UNREADABLE,
                    f"{path!r} changes while it is read, again and again: put it there in whole, "
                    "then send the event",
                )
            )
        return data


class NamedFolderReader(FolderReader):
    """Reads files below a folder that a person named, through links wherever they lead.

    Never for paths that strangers write.
    """

    def _opened(self, path: str) -> "_Opened":
        return _Followed(self._folder / path)


class _Opened:
    """A file opened step by step from the folder, following no link: none can be put in between."""

    def __init__(self, folder: Path, inside: PurePath) -> None:
        with ExitStack() as folders:
            at = _open(folder, _OPEN_FOLDER, None, folders)
            for part in inside.parts[:-1]:
                at = _open(part, _OPEN_FOLDER | os.O_NOFOLLOW, at, folders)
            self.descriptor = os.open(inside.name or ".", _OPEN_FILE, dir_fd=at)

    def close(self) -> None:
        os.close(self.descriptor)


class _Followed(_Opened):
    """A file opened by its path."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, _OPEN_FILE & ~os.O_NOFOLLOW)


def _open(path: Path | str, flags: int, within: int | None, folders: ExitStack) -> int:
    descriptor = os.open(path, flags, dir_fd=within)
    folders.callback(os.close, descriptor)
    return descriptor


def _encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _outside(path: str, why: str) -> Rejection:
    return Rejection(
        RejectionReason.FETCH_OUTSIDE_FOLDER,
        f"{path!r} is not a path inside fetch.folder: {why}; send a path relative to it",
    )


def _not_found(path: str, why: str) -> Rejection:
    return Rejection(RejectionReason.FETCH_NOT_FOUND, f"{path!r} in fetch.folder: {why}; upload it again")
