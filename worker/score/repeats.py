"""Repeats: what was found in an image is kept for a while, for listings that show the same file again."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.events import Code
from worker.score.served import Served


@dataclass(frozen=True)
class Findings:
    """What a bundle gives of a file, before category and policy: scores by name, float32 vectors [dim].

    None stands where the bundle has no such head. `by` is what it was found with.
    """

    codes: Sequence[Code]
    scores: Mapping[str, float]
    embedding: NDArray[np.float32] | None
    copy_vector: NDArray[np.float32] | None
    tag_vector: NDArray[np.float32] | None
    by: Served | None = None


class Repeats:
    """The findings of the last `capacity` files, by the SHA-256 of their bytes. Thread-safe.

    It belongs to one bundle and one way of reading codes: with another, clear it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, Findings] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, image_sha256: str) -> Findings | None:
        """What was found in these bytes before, if it is still known."""
        with self._lock:
            found = self._kept.get(image_sha256)
            if found is not None:
                self._kept.move_to_end(image_sha256)
            return found

    def keep(self, image_sha256: str, findings: Findings) -> None:
        """Remember; what was asked for longest ago is forgotten for it."""
        with self._lock:
            self._kept[image_sha256] = findings
            self._kept.move_to_end(image_sha256)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all: another bundle serves."""
        with self._lock:
            self._kept.clear()
