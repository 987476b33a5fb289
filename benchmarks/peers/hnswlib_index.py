"""hnswlib under a runbook: python -m benchmarks.peers.hnswlib_index DIM CAPACITY DESCRIPTOR.

Deleted elements are marked, and new ones take their places (`allow_replace_deleted`), so that there are never
more than live at a time. A label is used once: hnswlib 0.8.0 forgets one that comes back while its old place
is still free, and then cannot delete it any more.
"""

import sys
from collections.abc import Sequence

import hnswlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.streaming import Rows, recall, serve

M, EF_CONSTRUCTION = 16, 200
EFS = (10, 20, 30, 40, 60, 80, 120, 160, 240, 320)


class HnswlibIndex:
    """A StreamingIndex of at most `capacity` tags at a time."""

    def __init__(self, dim: int, capacity: int) -> None:
        self._index = hnswlib.Index("l2", dim)
        self._index.init_index(capacity, M, EF_CONSTRUCTION, allow_replace_deleted=True)
        self._index.set_ef(EFS[-1])
        self._label_of: dict[int, int] = {}
        self._tags: list[int] = []  # by label

    def insert(self, tags: Sequence[int], vectors: Rows) -> None:
        """See StreamingIndex."""
        self.delete([tag for tag in tags if tag in self._label_of])
        labels = range(len(self._tags), len(self._tags) + len(tags))
        self._index.add_items(vectors, np.array(labels), replace_deleted=True)
        self._tags += tags
        self._label_of.update(zip(tags, labels, strict=True))

    def delete(self, tags: Sequence[int]) -> None:
        """See StreamingIndex."""
        for tag in tags:
            self._index.mark_deleted(self._label_of.pop(tag))

    def search(self, queries: Rows, count: int) -> NDArray[np.int64]:
        """See StreamingIndex."""
        labels = [self._index.knn_query(query, count, num_threads=1)[0][0] for query in queries]
        found: NDArray[np.int64] = np.array(self._tags)[np.array(labels, np.int64)]
        return found

    def settle(self) -> None:
        """See StreamingIndex."""

    def tune(self, queries: Rows, truth: NDArray[np.int64], wanted: float) -> int:
        """Search with the least `ef` that finds such a share of `truth`, or with the greatest; gives it."""
        for ef in EFS:
            self._index.set_ef(ef)
            if recall(truth, self.search(queries, truth.shape[1])) >= wanted:
                break
        return ef


if __name__ == "__main__":
    serve(HnswlibIndex(int(sys.argv[1]), int(sys.argv[2])), int(sys.argv[3]))
