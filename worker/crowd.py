"""Who has how many connections, and whose goes where there is no room for another."""

from typing import Any


class Crowd:
    """Connections by the address of their client. For one event loop.

    What comes and goes is counted as it does, so that making room costs the same however many there are.
    """

    def __init__(self) -> None:
        self._of: dict[str, dict[Any, None]] = {}  # of an address, in the order in which they were made
        self._with: dict[int, dict[str, None]] = {}  # the addresses that have so many
        self._largest = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, connection: Any) -> None:
        """A connection was made; its `client` is an address and a port, or None."""
        address = _address_of(connection)
        mine = self._of.setdefault(address, {})
        mine[connection] = None
        self._count += 1
        self._move(address, len(mine) - 1, len(mine))
        self._largest = max(self._largest, len(mine))

    def discard(self, connection: Any) -> None:
        """A connection is gone, or as good as gone."""
        address = _address_of(connection)
        mine = self._of.get(address, {})
        if connection not in mine:
            return
        del mine[connection]
        self._count -= 1
        self._move(address, len(mine) + 1, len(mine))
        if not mine:
            del self._of[address]
        if self._largest not in self._with:
            self._largest -= 1

    def first_to_go(self, newcomer: Any) -> Any:
        """Of an address with most connections the longest idle one, else the one that was made first.

        The address comes first: beside requests that never end, who has just come in would be the only idle
        one. None where there is nobody but `newcomer`.
        """
        oldest = None
        for address in self._with.get(self._largest, ()):
            for connection in self._of[address]:
                if connection is newcomer:
                    continue
                if _is_idle(connection):
                    return connection
                oldest = oldest or connection
        return oldest

    def _move(self, address: str, before: int, now: int) -> None:
        """From the addresses that have `before` connections to those that have `now`."""
        if before:
            del self._with[before][address]
            if not self._with[before]:
                del self._with[before]
        if now:
            self._with.setdefault(now, {})[address] = None


def _is_idle(connection: Any) -> bool:
    return connection.cycle is None or bool(connection.cycle.response_complete)


def _address_of(connection: Any) -> str:
    return connection.client[0] if connection.client else ""
