"""Serving: which of two indexes answers a search, the current one or the next, of another space.

An answer is of one of them as a whole, and says its space: nothing of the two is ever put together.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.index.backend import IndexBackend

logger = logging.getLogger(__name__)

Serve = Literal["current", "next"]
Embedder = Callable[[bytes], NDArray[np.float32]]

CURRENT: Serve = "current"
NEXT: Serve = "next"
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Searched:
    """An index with what searches of its space need.

    `embedder` gives the float32 [dim] vector of an encoded image, from any thread. `attributes` are float32
    [dim] by name, of any length, `preferences` what results may be ordered by.
    """

    index: IndexBackend
    embedder: Embedder
    is_ready: Callable[[], bool]
    attributes: Mapping[str, NDArray[np.float32]]
    preferences: Sequence[str] = ()

    @property
    def space(self) -> str:
        """Of its vectors."""
        return self.index.identity.space


class Serving:
    """The current index, and the next while there is one; `choose` says which of them shall answer.

    `next` is set and taken away by the thread that runs it. Read from any thread.
    """

    def __init__(self, current: Searched, choose: Callable[[], Serve] = lambda: CURRENT) -> None:
        self.current = current
        self.next: Searched | None = None
        self._choose = choose

    def chosen(self) -> Searched:
        """The one that answers: the next where that is wanted and all that its log held is searchable."""
        beside = self.next
        wanted = beside is not None and self._choose() == NEXT
        return beside if wanted and beside is not None and beside.is_ready() else self.current

    def of_space(self, space: str) -> Searched | None:
        """The one whose vectors lie in `space`, whichever answers others."""
        beside = self.next
        return next((each for each in (self.current, beside) if each and each.space == space), None)


class Choice:
    """What `index.serve` says: a word, or a file with one, which is looked at again now and then."""

    def __init__(self, serve: Serve | Path) -> None:
        self._file = serve if isinstance(serve, Path) else None
        self._word: Serve = CURRENT if isinstance(serve, Path) else serve
        self._next_look = 0.0
        self._told = ""

    def __call__(self) -> Serve:
        """The word that holds; a file that is gone, or has another in it, changes nothing."""
        now = time.monotonic()
        if self._file is not None and now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._look(self._file)
        return self._word

    def _look(self, file: Path) -> None:
        try:
            found = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self._tell(f"index.serve: {file} cannot be read, {self._word} serves on: {error}")
            return
        if found not in (CURRENT, NEXT):
            self._tell(
                f"index.serve: {file} holds {found[:20]!r}, {self._word} serves on: write current or next"
            )
            return
        self._told = ""
        if found != self._word:
            logger.info("index.serve is %s now", found)
        self._word = NEXT if found == NEXT else CURRENT

    def _tell(self, text: str) -> None:
        if text != self._told:
            logger.error("%s", text)
        self._told = text
