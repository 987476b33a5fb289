"""Source: what a place gives of a bundle, file by file."""

from collections.abc import Callable, Iterator

from worker.errors import BundleError

# The bytes of a file of the bundle, by its name. Raises NotThere, or BundleError.
Get = Callable[[str], Iterator[bytes]]

CHUNK = 4_000_000


class NotThere(BundleError):
    """The place answers, and has no such file."""


def first_line(error: BaseException) -> str:
    """Of an error of a library, which may tell its own insides behind it."""
    return str(error).partition("\n")[0][:500] or type(error).__name__
