"""Who has how many connections, and whose goes where there is no room for another."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

# Who has just come in has had no time to say what it wants, and is not idle yet.
FRESH_SECONDS = 1.0
# An address that has this share of all connections is a crowd, and makes room before others.
_CROWD_SHARE = 1 / 8

# Connections in the order in which they were made, each with when.
_Made = dict[Any, float]


class Crowd:
    """Connections by the address of their client, at most `most`. For one event loop.

    What comes and goes is counted as it does, so that making room costs the same however many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: _Made = {}
        self._of: dict[str, _Made] = {}
        self._with: dict[int, dict[str, None]] = {}  # the addresses that have so many
        self._largest = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Any) -> Any | None:
        """A connection was made; gives the one that must go for it, which counts no more, if one must.

        A connection has a `client`, which is an address and a port, or None, and uvicorn's `cycle`.
        """
        address = _address_of(connection)
        mine = self._of.setdefault(address, {})
        mine[connection] = self._all[connection] = time.monotonic()
        self._move(address, len(mine) - 1, len(mine))
        self._largest = max(self._largest, len(mine))
        if len(self) <= self._most:
            return None
        leaving = self._first_to_go(connection)
        self.discard(leaving)
        return leaving

    def discard(self, connection: Any) -> None:
        """A connection is gone, or as good as gone."""
        if self._all.pop(connection, None) is None:
            return
        address = _address_of(connection)
        mine = self._of[address]
        del mine[connection]
        self._move(address, len(mine) + 1, len(mine))
        if not mine:
            del self._of[address]
        if self._largest not in self._with:
            self._largest -= 1

    def _first_to_go(self, newcomer: Any) -> Any:
        """Of a crowd, else of all: the one that is idle for longest, else the one that was made first.

        The crowd comes first: beside requests that never end, who has just come in would be the only idle
        one. Where no address is a crowd, as in an attack by many, the oldest are not those who come and go.
        """
        among: Mapping[Any, float] = self._all
        if self._largest > 1 and self._largest >= self._most * _CROWD_SHARE:
            among = self._of[next(iter(self._with[self._largest]))]
        others = (one for one in among.items() if one[0] is not newcomer)
        return _longest_idle(others) or next(one for one in among if one is not newcomer)

    def _move(self, address: str, before: int, now: int) -> None:
        """From the addresses that have `before` connections to those that have `now`."""
        if before:
            del self._with[before][address]
            if not self._with[before]:
                del self._with[before]
        if now:
            self._with.setdefault(now, {})[address] = None


def _longest_idle(connections: Iterable[tuple[Any, float]]) -> Any | None:
    """The first that is idle and not fresh, of connections in the order in which they were made."""
    fresh = time.monotonic() - FRESH_SECONDS
    for connection, made in connections:
        if made > fresh:
            return None
        if connection.cycle is None or connection.cycle.response_complete:
            return connection
    return None


def _address_of(connection: Any) -> str:
    return connection.client[0] if connection.client else ""
