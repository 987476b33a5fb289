"""Whether this machine has nothing left for now: files, buffers. It passes when other work is done."""

import errno
import os

_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS}


def is_shortage(error: BaseException) -> bool:
    """Whether `error`, or what it came from, is for want of file descriptors or buffers.

    Some say less than that (name servers, child processes): then it is looked whether a file can be opened.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__ or cause.__context__
    return not _can_open()


def _can_open() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in _PASSING
    return True
