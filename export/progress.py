"""How far something is: a bar at a terminal, a line every ten seconds in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

_SECONDS = 10.0


@contextmanager
def progress(total: int, name: str, seconds: float = _SECONDS) -> Iterator[Callable[[int], object]]:
    """Gives what is called with the number of items that were done since; told on standard error.

    Args:
        total: items that there are.
        name: of what is done with them.
        seconds: between two lines, where standard error is no terminal.

    """
    with tqdm(total=total, desc=name, disable=None) as bar:
        yield _Lines(total, name, seconds) if bar.disable else bar.update


def told(steps: int, name: str) -> Iterator[int]:
    """The numbers of steps of a training, each told when it is done."""
    with progress(steps, name) as done:
        for step in range(steps):
            yield step
            done(1)


class _Lines:
    def __init__(self, total: int, name: str, seconds: float) -> None:
        self._total, self._name, self._seconds = total, name, seconds
        self._done, self._told = 0, time.monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        if (now := time.monotonic()) - self._told >= self._seconds:
            self._told = now
            print(f"{self._name}: {self._done} of {self._total}", file=sys.stderr)  # noqa: T201
