"""Find: pairs and groups of copies among images whose vectors and pictures are known."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.duplicates.groups import Groups
from worker.duplicates.local_features import Alignment, LocalFeatures, Picture
from worker.duplicates.nearest import nearest

# An image whose candidates are all copies may have more of them: so many times more are looked at, twice.
_WIDER = 4
_ROUNDS = 3


@dataclass(frozen=True)
class Pair:
    """Two images by their places, the cosine distance of their vectors, and how they lie over each other."""

    one: int
    other: int
    distance: float
    alignment: Alignment

    @property
    def verified(self) -> bool:
        """Whether they show one photo."""
        return self.alignment.is_copy


@dataclass
class _Search:
    features: LocalFeatures
    picture: Callable[[int], Picture]
    threads: int
    progress: Callable[[], object]
    seen: set[tuple[int, int]] = field(default_factory=set)
    copies: Groups[int] = field(default_factory=Groups)

    def aligned(self, candidates: Sequence[tuple[int, list[tuple[int, float]]]]) -> Iterator[Pair]:
        """Every pair of one round that was not looked at before, in order."""
        wanted: dict[tuple[int, int], float] = {}
        for row, near in candidates:
            for other, distance in near:
                key = (min(row, other), max(row, other))
                if key not in self.seen and not self.copies.together(row, other):
                    wanted[key] = distance
        self.seen |= wanted.keys()
        with ThreadPoolExecutor(self.threads) as pool:
            keys = list(wanted)
            for key, alignment in zip(keys, pool.map(self._align, keys), strict=True):
                if alignment.is_copy:
                    self.copies.join(*key)
                self.progress()
                yield Pair(*key, wanted[key], alignment)

    def _align(self, key: tuple[int, int]) -> Alignment:
        return self.features.align(self.picture(key[0]), self.picture(key[1]))


def find_pairs(
    vectors: NDArray[np.float32],
    picture: Callable[[int], Picture],
    features: LocalFeatures,
    count: int,
    *,
    threads: int = 1,
    progress: Callable[[], object] = lambda: None,
) -> list[Pair]:
    """The `count` nearest of every image, laid over it; nearest pairs first.

    At most `count` * 16 pictures are compared with any one, and pairs that earlier ones have already brought
    into one group are left out of the wider rounds.

    Args:
        vectors: float32 [n, dim] of unit length.
        picture: of a place; called from `threads` threads.
        features: lays pictures over each other.
        count: candidates of each image.
        threads: that compare.
        progress: called after each pair.

    """
    search = _Search(features, picture, threads, progress)
    rows, found = list(range(len(vectors))), []
    for _ in range(_ROUNDS):
        candidates = list(nearest(vectors, rows, count))
        found += list(search.aligned(candidates))
        rows = [
            row
            for row, near in candidates
            if len(near) == count and all(search.copies.together(row, other) for other, _ in near)
        ]
        count *= _WIDER
    return sorted(found, key=lambda pair: (pair.distance, pair.one, pair.other))
