"""How much of what is nearest searches find: measured beside them, and what each graph is asked with for it.

Recall as Aumueller, Bernhardsson and Faithfull measure it (ANN-Benchmarks, 2020): of the true nearest, as
many are found as results are no farther than the farthest of those.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from schemas.search import MAX_RESULTS, SearchFilter
from worker.index.neighbour import Neighbour
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.segment import Segment
from worker.index.ngt.view import View
from worker.metrics import Metrics

logger = logging.getLogger(__name__)

# What NGT's search is tried with: how far beyond the k-th distance it goes on, as a share of that.
EPSILONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
_QUERIES = 64
_ENOUGH = _QUERIES // 2
# Epsilon is chosen again where searches miss so many times what they may.
_TOLERATED = 2.0
_NEIGHBOURS = 10
_LOOK_SECONDS = 1.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Sample:
    """A search of `view` and what it found; the fields are its arguments."""

    view: View
    query: NDArray[np.float32]
    count: int
    radius: float | None
    where: SearchFilter | None
    found: Sequence[Neighbour]


class Recall:
    """Repeats a few searches exactly, and chooses the epsilon of each segment's graph by the latest of them.

    Again where they come to miss too much: what is searched by, or what is stored, has changed. Nothing is
    chosen before there are searches: images of a segment find each other far more easily.

    In a thread of its own, which takes at most `share` of one core: after what cost c seconds of CPU it rests
    for c / share. `recall` is what epsilon is chosen for.
    """

    def __init__(self, live: LiveIndex, recall: float, share: float, metrics: Metrics) -> None:
        self._live = live
        self._recall = recall
        self._share = share
        self._metrics = metrics
        self._measured: WeakSet[Segment] = WeakSet()
        self._queries: deque[NDArray[np.float32]] = deque(maxlen=_QUERIES)
        self._counts: list[tuple[int, int]] = []  # found and true neighbours of the searches not judged yet
        self._sample: Sample | None = None
        self._offered = threading.Event()
        self._wanted = False
        self._rested = time.thread_time()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recall", daemon=True)
        for result in ("found", "missed"):
            metrics.index_sampled_neighbours.labels(result)  # shown from the start, as 0

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def stop(self) -> None:
        """End what is measured, and wait for it. May be called again."""
        self._stopping.set()
        self._offered.set()
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, sample: Sample) -> None:
        """Look at a search if its turn has come; never blocks. From any thread."""
        if self._wanted and sample.count <= MAX_RESULTS:
            self._wanted = False
            self._sample = sample
            self._offered.set()

    def measure(self, sample: Sample) -> None:
        """Count what the search found of what an exact one finds in the same view."""
        nearest = self._live.search_exactly(
            sample.view, sample.query, sample.count, sample.radius, sample.where
        )
        limit = (nearest[-1].distance if nearest else 0.0) + _ROUNDING
        found = min(len(nearest), sum(near.distance <= limit for near in sample.found))
        self._metrics.index_sampled_neighbours.labels("found").inc(found)
        self._metrics.index_sampled_neighbours.labels("missed").inc(len(nearest) - found)
        self._queries.append(sample.query)
        self._counts.append((found, len(nearest)))
        if len(self._counts) == _QUERIES:
            self._judge()

    def choose_epsilon(self, segment: Segment, queries: NDArray[np.float32]) -> None:
        """Ask the graph of `segment` with the least epsilon that reaches the recall, or with the greatest.

        Measured by `queries`, float32 [n, dim] of unit norm.
        """
        limits = segment.farthest_of(queries, _NEIGHBOURS) + _ROUNDING
        self._rest()
        for epsilon in EPSILONS:
            reached = sum(
                int((segment.near_by_graph(query, _NEIGHBOURS, epsilon) <= limit).sum())
                for query, limit in zip(queries, limits, strict=True)
            )
            recall = reached / (_NEIGHBOURS * len(queries))
            if recall >= self._recall or self._stopping.is_set():
                break
            self._rest()
        segment.epsilon = epsilon
        self._measured.add(segment)
        logger.info("%s: epsilon %.2f, recall@%d %.4f", segment.name, epsilon, _NEIGHBOURS, recall)

    def _run(self) -> None:
        self._rested = time.thread_time()
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:  # searches go on; what is not measured is seen by its counter
                logger.exception("the recall cannot be measured")
            self._rest()

    def _turn(self) -> None:
        if len(self._queries) >= _ENOUGH:
            for segment in self._live.segments:
                if segment.manifest.graph and segment not in self._measured:
                    self.choose_epsilon(segment, np.stack(self._queries))
                    return
        self._wanted = True
        self._offered.wait(_LOOK_SECONDS)
        self._offered.clear()
        sample, self._sample = self._sample, None
        if sample is not None:
            self.measure(sample)

    def _rest(self) -> None:
        """Wait until what was done since the last rest is `share` of the time."""
        worked = time.thread_time() - self._rested
        self._stopping.wait(worked / self._share)
        self._rested = time.thread_time()

    def _judge(self) -> None:
        """Measure every segment again if the searches since the last time missed too much."""
        found, wanted = (sum(counts) for counts in zip(*self._counts, strict=True))
        self._counts.clear()
        if wanted - found > _TOLERATED * (1.0 - self._recall) * wanted:
            logger.info("searches found %d of %d neighbours: epsilon is chosen again", found, wanted)
            self._measured.clear()
