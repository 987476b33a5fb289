"""Brings the cluster to what the database says, and both to what a batch of changes says.

First the cluster, then the database: what the process loses in between is read again from the log, and an
object that is written twice is the same one. Removed are objects that no image has since the batch before:
until then the database knows better than the cluster what counts.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol

from worker.errors import IndexUnavailable
from worker.index.backend import Change
from worker.index.vald.cluster import ClusterState
from worker.index.vald.images import Images, Object
from worker.index.vald.layers import Batch
from worker.metrics import Metrics

logger = logging.getLogger(__name__)

_MOST_REMOVED = 20_000  # at a time
_SAMPLE = 64  # of the newest objects, which lie on many agents


class Keeper(Protocol):
    """Cluster, of which a commit needs no more."""

    def insert(self, objects: Sequence[Object]) -> int:
        """See Cluster."""

    def remove(self, names: Sequence[str]) -> int:
        """See Cluster."""

    def missing(self, names: Sequence[str]) -> int:
        """See Cluster."""

    def make_searchable(self) -> ClusterState:
        """See Cluster."""

    def state(self) -> ClusterState:
        """See Cluster."""


class Commits:
    """Writes to `cluster` and `images`; its calls block, and one thread at a time makes them."""

    def __init__(self, images: Images, cluster: Keeper, metrics: Metrics) -> None:
        self._images = images
        self._cluster = cluster
        self._metrics = metrics

    def take_in(self, batch: Batch) -> None:
        """Make all of `batch` searchable in the cluster, for good.

        Raises:
            IndexUnavailable, ConfigurationError: see Cluster; nothing is lost, and it may be done again.

        """
        self._bring(batch.changes(), batch.offsets, batch.as_of)

    def look(self, as_of: float) -> None:
        """Write again what the cluster has lost, and remove what no image has any more; `as_of`: see Batch.

        Raises:
            IndexUnavailable, ConfigurationError: as `take_in`.

        """
        self._bring([], {}, as_of)

    def _bring(self, changes: Sequence[Change], offsets: Mapping[int, int], as_of: float) -> None:
        objects = {
            name: Object(name, change.vector)
            for change in changes
            if change.vector is not None and (name := self._images.name(change.vector))
        }
        known = self._images.living(objects)  # an orphan may be gone from the cluster already
        orphans = [name for name in self._images.orphans(_MOST_REMOVED) if name not in objects]
        new = [each for name, each in objects.items() if name not in known]
        expected = self._images.copies() + self._cluster.insert(new) - self._cluster.remove(orphans)
        state = self._settled()
        newest = [each.name for each in new[-_SAMPLE:]] or self._images.newest(_SAMPLE)
        if self._has_lost(state, expected, newest):
            state = self._refill(state, expected, list(objects.values()))
        self._images.apply(changes, offsets, as_of, orphans, state.stored)
        self._metrics.vald_expected.set(self._images.objects())
        self._metrics.vald_stored.set(state.stored)

    def _settled(self) -> ClusterState:
        state = self._cluster.state()
        return state if state.is_settled else self._cluster.make_searchable()

    def _has_lost(self, state: ClusterState, expected: int, newest: Sequence[str]) -> bool:
        """An agent that comes back from its last save may hold as many as before, and never the newest."""
        return state.stored < expected or self._cluster.missing(newest) > 0

    def _refill(self, state: ClusterState, expected: int, beside: Sequence[Object]) -> ClusterState:
        """Write every object again, and those of `beside`: what is still there stays as it is.

        Raises:
            IndexUnavailable: the cluster holds fewer than there are all the same.

        """
        logger.error(
            "the Vald cluster holds %d vectors, where %d were: an agent has lost some. All are written "
            "again, and searches miss what is not yet there",
            state.stored,
            expected,
        )
        self._metrics.vald_refills.inc()
        written = 0
        for part in chain(self._images.each_object(), [beside]):
            written += self._cluster.insert(part)
        state = self._settled()
        needed = self._images.objects()
        if state.stored < needed:
            raise IndexUnavailable(
                f"the Vald cluster holds {state.stored} vectors of {needed} after all were written again"
            )
        logger.warning("%d vectors were missing and are searchable again", written)
        return state
