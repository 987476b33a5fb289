"""What passes by itself is told from what does not."""

import errno
import os
import resource

import pytest

from worker.errors import StageError
from worker.shortage import is_shortage


def caused(number):
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise StageError("no connection") from error
    except StageError as error:
        return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EMFILE, ""), True),
        (caused(errno.ENFILE), True),
        (caused(errno.ENOBUFS), True),
        (caused(errno.ENETUNREACH), False),
        (ValueError("a bug"), False),
    ],
)
def test_it_is_seen_through_what_was_raised_from_it(error, passes):
    assert is_shortage(error) == passes


def test_it_is_looked_for_where_nothing_says_so():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert is_shortage(StageError("a name cannot be looked up"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not is_shortage(StageError("a name cannot be looked up"))
