"""Room: what images that are fetched and not yet decoded may hold in memory at once."""

import threading
from collections.abc import Callable

from worker.errors import MekikiError


class NoRoom(MekikiError):
    """There is no room for `size` bytes now."""

    def __init__(self, size: int) -> None:
        super().__init__(f"no room for {size} bytes")
        self.size = size


class Room:
    """Room for `size` bytes, taken in whole and never waited for. Used from many threads at once.

    `freed` is called, without a lock, after room was given back.
    """

    def __init__(self, size: int, freed: Callable[[], None] = lambda: None) -> None:
        self._size = self._free = size
        self._freed = freed
        self._lock = threading.Lock()

    @property
    def is_left(self) -> bool:
        """Whether any is left."""
        return self._free > 0

    def take(self, size: int) -> bool:
        """Take room for `size` bytes, or none. More than there is takes all of it, once all is free."""
        with self._lock:
            fits = min(size, self._size) <= self._free
            if fits:
                self._free -= size
            return fits

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += size
        self._freed()


class Grant:
    """The room that one image holds. Used by one thread at a time."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def take(self, size: int) -> None:
        """Hold room for `size` bytes in all; what is held already counts.

        Raises:
            NoRoom: there is none now.

        """
        more = size - self._taken
        if more > 0:
            if not self._room.take(more):
                raise NoRoom(size)
            self._taken = size

    def release(self) -> None:
        """Give all of it back. May be called again."""
        taken, self._taken = self._taken, 0
        if taken:
            self._room.give_back(taken)
