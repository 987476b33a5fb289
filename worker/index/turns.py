"""Turns: so many searches are worked on at once, more wait, and still more are refused at once."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from worker.errors import MekikiError

Given = TypeVar("Given")


class NoTurn(MekikiError):
    """Too many wait already."""


class Turns:
    """`at_once` in threads, at most `most` in all and `per_client` of one client. For one event loop."""

    def __init__(self, at_once: int, most: int, per_client: int) -> None:
        self._at_once = at_once
        self._most = most
        self._per_client = per_client
        self._here: Counter[str] = Counter()
        self._limiter: CapacityLimiter | None = None

    async def run(self, client: str, work: Callable[..., Given], *arguments: Any) -> Given:
        """What `work` returns, in a thread, when it is its turn.

        Raises:
            NoTurn: too many wait, in all or of this client.

        """
        if self._here.total() >= self._most or self._here[client] >= self._per_client:
            raise NoTurn
        self._limiter = self._limiter or CapacityLimiter(self._at_once)  # belongs to the running loop
        self._here[client] += 1
        try:
            return await to_thread.run_sync(work, *arguments, limiter=self._limiter)
        finally:
            self._here[client] -= 1
            if not self._here[client]:
                del self._here[client]
