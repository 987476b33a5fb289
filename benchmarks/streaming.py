"""What a runbook is played on, and the end of it that runs in a process of its own.

Needs numpy alone: peers have environments without the worker's packages.
"""

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class StreamingIndex(Protocol):
    """What big-ann's streaming track asks of an index; vectors are float32 [n, dim] of unit norm."""

    def insert(self, tags: Sequence[int], vectors: Rows) -> None:
        """Find `vectors` by these tags from now on; one that lives is replaced."""

    def delete(self, tags: Sequence[int]) -> None:
        """Find these tags, which live, no more."""

    def search(self, queries: Rows, count: int) -> NDArray[np.int64]:
        """The tags of the `count` nearest to each query, asked one by one; -1 where fewer are found."""

    def settle(self) -> None:
        """Return when nothing is built any more."""


class Took(NamedTuple):
    """An answer, and the seconds of wall time and of this process's CPU that it took."""

    answer: Any
    wall: float
    cpu: float


def timed(function: Callable[..., Any], *arguments: Any) -> Took:
    """Call it."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = function(*arguments)
    return Took(answer, time.perf_counter() - wall, time.process_time() - cpu)


def serve(index: StreamingIndex, descriptor: int) -> None:
    """Do what the other end of the connection asks of `index`, until it is closed."""
    with Connection(descriptor) as connection:
        while True:
            try:
                name, arguments = connection.recv()
            except EOFError:
                return
            connection.send(timed(getattr(index, name), *arguments))


def recall(truth: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Which share of the true neighbours, int64 [queries, count], is among those found."""
    return float((truth[:, :, None] == found[:, None, :]).any(axis=2).mean())
