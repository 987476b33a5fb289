"""Searches that wait for each other, made side by side.

ngtpy holds the interpreter's lock while it searches, so that threads only take turns, and lose time with each
turn. So one search is made at a time: alone where nobody waits, by the thread that asks; those that come
meanwhile wait, and a thread of its own makes all of them at once, on all cores (combining: Hendler, Incze,
Shavit and Tzafrir, 2010).
"""

import threading
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from worker.cores import cores
from worker.index.neighbour import Neighbour
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.view import View

_MOST = 32
# Who was just answered may ask again at once: so long they are waited for, after several at a time alone.
_LINGER_SECONDS = 0.0002


class Found(NamedTuple):
    """What a search found, and in what it looked."""

    view: View
    near: list[Neighbour]


class _Waiting:
    """A search that waits for its turn."""

    def __init__(self, query: NDArray[np.float32], count: int) -> None:
        self.query, self.count = query, count
        self.found: Found | None = None
        self.error: BaseException | None = None
        self._answered = threading.Lock()  # held until then: an Event costs several times as much
        self._answered.acquire()

    def tell(self) -> None:
        self._answered.release()

    def wait(self) -> Found:
        self._answered.acquire()
        if self.error is not None:
            raise self.error
        assert self.found is not None
        return self.found


class _Turn(Enum):
    """Who searches."""

    NOBODY = 0
    ASKER = 1
    THREAD = 2


class Together:
    """Searches of `live` from any thread. `close` ends its own thread; each is made alone then."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live
        self._changed = threading.Condition()
        self._turn = _Turn.NOBODY  # and so nobody waits
        self._waiting: list[_Waiting] = []
        self._enough = 1  # of those who wait, for the thread to go on
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="searches", daemon=True)
        self._thread.start()

    def search(self, query: NDArray[np.float32], count: int) -> Found:
        """The `count` nearest to `query` (float32 [dim], unit norm), of one moment after this was called."""
        with self._changed:
            if self._is_closed:
                waiting, has_turn = None, False
            elif self._turn is _Turn.NOBODY:
                self._turn, waiting, has_turn = _Turn.ASKER, None, True
            else:
                waiting, has_turn = _Waiting(query, count), False
                self._waiting.append(waiting)
                if len(self._waiting) >= self._enough:
                    self._changed.notify()
        if waiting is not None:
            return waiting.wait()
        try:
            return self._alone(query, count)
        finally:
            if has_turn:
                self._give_turn()

    def close(self) -> None:
        """Answer who waits, and end. May be called again."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _alone(self, query: NDArray[np.float32], count: int) -> Found:
        view = self._live.view
        return Found(view, self._live.search(query, count, view=view))

    def _give_turn(self) -> None:
        with self._changed:
            self._turn = _Turn.THREAD if self._waiting else _Turn.NOBODY
            self._changed.notify()

    def _run(self) -> None:
        threadpool_limits(cores(), user_api="openmp")  # of this thread alone
        while batch := self._next():
            try:
                self._answer(batch)
            finally:
                for each in batch:
                    each.tell()
            if len(batch) > 1:
                self._linger(len(batch))

    def _next(self) -> list[_Waiting]:
        """Those who wait for so many results as the first of them; none when closed."""
        with self._changed:
            self._enough = 1
            if self._turn is _Turn.THREAD and not self._waiting:
                self._turn = _Turn.NOBODY
            while self._turn is not _Turn.THREAD:
                if self._is_closed and self._turn is _Turn.NOBODY:
                    return []
                self._changed.wait()
            count = self._waiting[0].count
            batch = [each for each in self._waiting if each.count == count][:_MOST]
            self._waiting = [each for each in self._waiting if each not in batch]
            return batch

    def _linger(self, number: int) -> None:
        with self._changed:
            self._enough = number
            self._changed.wait_for(
                lambda: len(self._waiting) >= number or self._is_closed, timeout=_LINGER_SECONDS
            )

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        """What each of them finds; a search that fails fails alone."""
        view = self._live.view
        if len(batch) > 1:
            try:
                queries = np.stack([each.query for each in batch])
                found = self._live.search_each(queries, batch[0].count, view)
            except Exception:  # noqa: BLE001 - one by one, to see whose it is
                found = []
            for each, near in zip(batch, found, strict=False):
                each.found = Found(view, near)
        for each in batch:
            if each.found is None:
                try:
                    each.found = self._alone(each.query, each.count)
                except Exception as error:  # noqa: BLE001 - it is the asker's
                    each.error = error
