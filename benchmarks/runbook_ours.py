"""The worker's own index under a runbook: python -m benchmarks.runbook_ours DIRECTORY DIM DESCRIPTOR.

What the index role does, without Kafka: records of a poll at a time, near-duplicates looked up as for their
acknowledgements, builds and merges beside it in processes of their own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index import POLL, open_index, settle
from benchmarks.streaming import Rows, serve
from worker.index.backend import Change
from worker.index.ngt.index import NgtIndex

NEAR, NEAR_RADIUS = 10, 0.02
SEARCHES_A_TURN = 100


class OurIndex:
    """A StreamingIndex: image ids are the tags."""

    def __init__(self, index: NgtIndex) -> None:
        self._index = index
        self._read = 0
        index.catch_up()

    def insert(self, tags: Sequence[int], vectors: Rows) -> None:
        """See StreamingIndex."""
        self._apply([Change(str(tag), vector) for tag, vector in zip(tags, vectors, strict=True)])

    def delete(self, tags: Sequence[int]) -> None:
        """See StreamingIndex."""
        self._apply([Change(str(tag), None) for tag in tags])

    def search(self, queries: Rows, count: int) -> NDArray[np.int64]:
        """See StreamingIndex."""
        found = np.full((len(queries), count), -1)
        for number, query in enumerate(queries):
            tags = [int(near.image_id) for near in self._index.search(query, count)]
            found[number, : len(tags)] = tags
            if number % SEARCHES_A_TURN == 0:
                self._index.turn()
        return found

    def settle(self) -> None:
        """See StreamingIndex."""
        settle(self._index)

    def _apply(self, changes: Sequence[Change]) -> None:
        for first in range(0, len(changes), POLL):
            poll = changes[first : first + POLL]
            self._index.change_each(poll, NEAR, NEAR_RADIUS)
            self._read += len(poll)
            self._index.advance(0, self._read)
            self._index.turn()


if __name__ == "__main__":
    opened = open_index(Path(sys.argv[1]), int(sys.argv[2]))
    serve(OurIndex(opened), int(sys.argv[3]))
    opened.close()
