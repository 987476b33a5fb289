"""Ends a process that is stuck, whatever it is stuck in: what it left undone is the next owner's.

Time-outs of a library do not always hold: librdkafka's `send_offsets_to_transaction` has outlasted its own
for ever. So what may block gets a limit here as well.
"""

import faulthandler
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

Limit = Callable[[str, float], AbstractContextManager[None]]

# What a process that ends itself for being stuck returns (EX_SOFTWARE).
STUCK = 70

# Beside a call's own time-out: seconds for the library to return by itself.
GRACE = 10.0

# Beyond the limit, seconds until a process ends in which not even a thread of Python's can run any more.
_LOCKED_GRACE = 90.0

_STANDARD_ERROR = 2


def unlimited(what: str, seconds: float) -> AbstractContextManager[None]:
    """No limit: a person waits, and can interrupt."""
    del what, seconds
    return nullcontext()


class Watchdog:
    """Leaves by `leave` once anything takes longer than its limit. Nothing is watched outside of `with`.

    Time passes only while this process runs: one that was stopped, or starved of CPU, has its limits yet.
    Thread-safe; two set and forgotten entries of a table a limit.
    """

    def __init__(self, leave: Callable[[int], object] = os._exit, interval: float = 1.0) -> None:
        self._leave = leave
        self._interval = interval
        self._numbers = itertools.count()
        self._limits: dict[int, tuple[str, float]] = {}
        self._passed = 0.0  # seconds in which this process ran
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()

    @contextmanager
    def limit(self, what: str, seconds: float) -> Iterator[None]:
        """End the process unless this is left within `seconds`."""
        number = next(self._numbers)
        self._limits[number] = (what, self._passed + seconds)
        try:
            yield
        finally:
            del self._limits[number]

    def end_within(self, what: str, seconds: float) -> None:
        """End the process in `seconds`, unless it has ended before. Safe in a signal handler."""
        self._limits[next(self._numbers)] = (what, self._passed + seconds)

    def look(self, elapsed: float) -> None:
        """`elapsed` seconds after the last look: is anything over its limit?"""
        self._passed += min(elapsed, 2 * self._interval)
        for what, until in list(self._limits.values()):
            if self._passed > until:
                logger.critical("%s does not return: the process ends itself", what)
                faulthandler.dump_traceback(_STANDARD_ERROR)
                self._leave(STUCK)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self._interval):
            now = time.monotonic()
            self.look(now - last)
            last = now
            left = min((until for _, until in list(self._limits.values())), default=None)
            if left is not None:  # this timer needs no lock of Python's
                seconds = max(left - self._passed, 0.0) + _LOCKED_GRACE
                faulthandler.dump_traceback_later(seconds, file=_STANDARD_ERROR, exit=True)


def end_process(status: int) -> None:
    """End at once, whatever other threads are at: a process that has said that it stopped is gone."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
