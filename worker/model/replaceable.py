"""Replaceable: what serves, and what is found by a thread to take its place while the worker runs.

A file or a directory is looked at every few seconds. What stands there anew is loaded whole, beside what
serves, and taken by its user between two batches. What is damaged or does not fit is refused, counted and
told, and what serves stays.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from types import TracebackType
from typing import Generic, Self, TypeVar

from prometheus_client import Counter

from worker.errors import MekikiError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class Replaceable(ABC, Generic[Item]):
    """A context manager. `current` belongs to one thread, that of the user."""

    def __init__(self, first: Item, setting: str, interval: float, counted: Counter) -> None:
        """Begin with `first`; nothing has been seen yet.

        Args:
            first: what serves at the start.
            setting: names what is looked at, such as "model.tags".
            interval: seconds between two looks.
            counted: counts by `result` what is taken and refused.

        """
        self._current, self._setting, self._interval, self._counted = first, setting, interval, counted
        self._next: Item | None = None
        self._seen: Hashable | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=setting, daemon=True)
        for result in ("taken", "refused"):
            counted.labels(result)  # shown from the start, as 0

    @abstractmethod
    def _signature(self) -> Hashable | None:
        """Of what stands there: another one where it is another; None where there is nothing."""

    @abstractmethod
    def _load(self) -> Item:
        """What stands there, whole and ready.

        Raises:
            MekikiError: it cannot take the place.

        """

    @abstractmethod
    def _taken(self, taken: Item, before: Item) -> None:
        """Called by the user's thread: `taken` serves in the place of `before`."""

    def _is_serving(self, found: Item) -> bool:
        """Whether `found` is what serves already."""
        del found
        return False

    def _discard(self, item: Item) -> None:
        """Let go of what was loaded and never served."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    def current(self) -> Item:
        """What serves the next batch."""
        with self._lock:
            taken, self._next = self._next, None
        if taken is not None:
            before, self._current = self._current, taken
            self._counted.labels("taken").inc()
            self._taken(taken, before)
        return self._current

    def look(self) -> None:
        """Load what stands there if it is something else than before."""
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        if signature is None:
            logger.warning("nothing stands at %s any more, what is in use stays", self._setting)
            return
        try:
            found = self._load()
        except MekikiError as error:
            self._counted.labels("refused").inc()
            logger.error("%s is refused, what is in use stays: %s", self._setting, error)
            return
        if self._signature() != signature:
            self._discard(found)  # it changed while it was loaded: the next look takes it
            return
        wanted = None if self._is_serving(found) else found
        with self._lock:
            before, self._next = self._next, wanted
        for unused in (before, found if wanted is None else None):
            if unused is not None:
                self._discard(unused)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.look()
            except Exception:
                # Memory, descriptors: what is in use serves on, and the next look tries again.
                logger.exception("looking at %s failed", self._setting)
                self._seen = None
