"""The index in a Vald cluster: an IndexBackend."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from schemas.search import SearchFilter
from worker.errors import ConfigurationError, MekikiError
from worker.index.attributes import NOTHING_KNOWN, Attributes
from worker.index.backend import Change, IndexIdentity, IndexSize, Near, Snapshot
from worker.index.neighbour import Neighbour, nearest
from worker.index.owner import OwnerLock
from worker.index.vald.cluster import DISTANCES, Cluster
from worker.index.vald.commits import Commits
from worker.index.vald.images import Images
from worker.index.vald.layers import Layers, View
from worker.index.vald.stored import Stored
from worker.metrics import Metrics
from worker.settings import IndexSettings, ValdSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 300.0

# Starts a function beside the loop.
Start = Callable[[Callable[[], None]], "Future[None]"]


class ValdIndex:
    """See IndexBackend. Its snapshot is the database, as of when it was written or looked over.

    `start` runs what writes to the cluster, one at a time; `close_parts` lets go of all of them.
    """

    def __init__(
        self,
        identity: IndexIdentity,
        images: Images,
        stored: Stored,
        commits: Commits,
        settings: IndexSettings,
        metrics: Metrics,
        start: Start,
        close_parts: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._images = images
        self._stored = stored
        self._commits = commits
        self._settings = settings
        self._metrics = metrics
        self._start = start
        self._close_parts = close_parts
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._layers = Layers(self._identity.dim, self._images.count(), self._images.holds)
        self._offsets = self._images.offsets()
        self._running: Future[None] | None = None
        self._is_commit = False
        self._began = self._looked = self._not_before = self._clock()
        self._failures = 0
        self._durable = self._images.as_of()  # Unix time; 0: nothing is
        self._bringing = self._durable
        self._as_of: float | None = self._durable or time.time()  # None: the clock's

    @property
    def identity(self) -> IndexIdentity:
        """See IndexBackend."""
        return self._identity

    def offsets(self) -> dict[int, int]:
        """See IndexBackend."""
        return dict(self._offsets)

    def size(self) -> IndexSize:
        """See IndexBackend. The tail is what the cluster does not show yet."""
        return IndexSize(self._layers.images, self._layers.changes)

    def snapshot(self) -> Snapshot | None:
        """See IndexBackend."""
        if not self._durable:
            return None
        return Snapshot(f"vald-{self._durable:.0f}", datetime.fromtimestamp(self._durable, UTC))

    def upsert(
        self, image_id: str, vector: NDArray[np.float32], attributes: Attributes = NOTHING_KNOWN
    ) -> None:
        """See IndexBackend."""
        self._layers.upsert(image_id, vector, attributes)

    def delete(self, image_id: str) -> None:
        """See IndexBackend."""
        self._layers.delete(image_id)

    def change_each(
        self,
        changes: Sequence[Change],
        count: int,
        radius: float,
        copy_radius: float | None = None,  # noqa: ARG002 - see below
    ) -> list[Near]:
        """See IndexBackend. Exact over the changes of the last moments, and approximate over the cluster.

        The cluster has embeddings alone: copies are among what is similar, and no others are found.
        """
        asked: list[tuple[int, View]] = []
        for number, (image_id, vector, attributes) in enumerate(changes):
            if vector is None:
                self.delete(image_id)
            else:
                self.upsert(image_id, vector, attributes)
                asked.append((number, self._layers.view))
        found = [Near([], []) for _ in changes]
        if not asked:
            return found
        queries = np.stack([each.vector for each in changes if each.vector is not None])
        views = [view for _, view in asked]
        below = self._stored.within(queries, radius, count + 1, views, self._settings.vald.retry_for)
        above = views[-1].within(queries, radius, count + 1, views)
        for (number, _), far, near in zip(asked, below, above, strict=True):
            found[number] = Near([], [*near, *far]).nearest(count, but=changes[number].image_id)
        return found

    def advance(self, partition: int, offset: int) -> None:
        """See IndexBackend."""
        self._offsets = {**self._offsets, partition: offset}

    def catch_up(self) -> None:
        """See IndexBackend."""
        self._as_of = None

    def turn(self) -> None:
        """See IndexBackend. Writes the tail to the cluster, or looks whether that has lost anything."""
        if self._running is not None:
            if self._running.done():
                self._finish(self._running)
        elif self._clock() >= self._not_before:
            self._start_what_is_due()

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        radius: float | None = None,
        where: SearchFilter | None = None,
    ) -> list[Neighbour]:
        """See IndexBackend. Exact over the changes of the last moments and where few are let in.

        Raises:
            IndexUnavailable: the cluster does not answer for `index.vald.timeout`.

        """
        view = self._layers.view
        below = self._stored.search(query, count, view, where, self._settings.vald.timeout)
        found = (*view.search(query, count, where), *below)
        limit = np.inf if radius is None else radius
        return nearest((neighbour for neighbour in found if neighbour.distance <= limit), count)

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """See IndexBackend."""
        view = self._layers.view
        seen = view.seen(image_id)
        if seen is not None:
            return seen[0].vector(seen[1])
        return self._images.vector(image_id) if view.shows_below(image_id) else None

    def attributes_of(self, image_ids: Sequence[str]) -> list[Attributes]:
        """See IndexBackend."""
        view = self._layers.view
        return [self._attributes(view, image_id) for image_id in image_ids]

    def clear(self) -> None:
        """See IndexBackend. The cluster's vectors are removed with the next changes."""
        self._wait()
        self._images.clear()
        self._begin()

    def close(self) -> None:
        """See IndexBackend. What is being written ends with it, and is read again from the log."""
        self._close_parts()

    def _attributes(self, view: View, image_id: str) -> Attributes:
        seen = view.seen(image_id)
        if seen is not None:
            return seen[0].attributes(seen[1])
        return self._images.attributes(image_id) if view.shows_below(image_id) else NOTHING_KNOWN

    def _start_what_is_due(self) -> None:
        changes, now = self._layers.changes, self._clock()
        self._bringing = as_of = time.time() if self._as_of is None else self._as_of
        waited = now - self._began > self._settings.snapshot_interval
        if changes >= self._settings.snapshot_records or (changes > 0 and waited):
            batch = self._layers.set_aside(self._offsets, as_of)
            self._is_commit, self._began = True, now
            self._running = self._start(partial(self._commits.take_in, batch))
        elif now - self._looked > _LOOK_SECONDS:
            self._is_commit, self._looked = False, now
            self._running = self._start(partial(self._commits.look, as_of))

    def _finish(self, ended: "Future[None]") -> None:
        self._running = None
        took = self._clock() - self._began
        try:
            ended.result()
        except MekikiError as error:
            pause = min(_FIRST_RETRY_SECONDS * 2**self._failures, _LAST_RETRY_SECONDS)
            self._failures += 1
            self._not_before = self._clock() + pause
            self._metrics.index_build_seconds.labels("failure").observe(took)
            logger.error("the Vald cluster is not brought up to date, again in %.0f s: %s", pause, error)
            return
        self._failures = 0
        self._durable = self._bringing
        if self._is_commit:
            self._metrics.index_build_seconds.labels("success").observe(took)
            self._layers.drop()

    def _wait(self) -> None:
        if self._running is not None:
            wait([self._running])
            self._running = None


def open_vald_index(settings: IndexSettings, identity: IndexIdentity, metrics: Metrics) -> ValdIndex:
    """The index in the cluster of `index.vald`, its database in `index.directory`, owned by this process.

    Raises:
        IndexDirectoryError: the directory is owned by another process, or of another space.
        IndexUnavailable: the cluster does not answer for `index.vald.retry_for`.
        ConfigurationError: its dimension or kind of distance is not fit for `identity`.

    """
    lock = OwnerLock(settings.directory)
    try:
        images = Images(settings.directory, identity)
        if 0 < images.as_of() < time.time() - settings.generation_max_age:
            logger.warning("the index is too old, and is filled again from the log: %s", settings.directory)
            images.clear()
        cluster = Cluster(settings.vald, metrics)
        cluster.state()  # which waits for it
        require_fit(cluster.properties(), identity.dim)
    except BaseException:
        lock.release()
        raise
    writer = ThreadPoolExecutor(1, "vald-writer")

    def close_parts() -> None:
        cluster.close()
        writer.shutdown()
        images.close()
        lock.release()

    stored, commits = Stored(images, cluster), Commits(images, cluster, metrics)
    return ValdIndex(identity, images, stored, commits, settings, metrics, writer.submit, close_parts)


def look_at_cluster(settings: ValdSettings, dim: int) -> str:
    """What the cluster says of itself, if it can hold vectors of unit norm with `dim` dimensions.

    Raises:
        IndexUnavailable, ConfigurationError: it does not answer, or cannot.

    """
    cluster = Cluster(settings, Metrics(CollectorRegistry()))
    try:
        fit, state = require_fit(cluster.properties(), dim), cluster.state()
    finally:
        cluster.close()
    return f"{fit}; {state.stored} vectors, each on {state.replica}, and {state.uncommitted} changes to come"


def require_fit(properties: dict[str, tuple[int, str]], dim: int) -> str:
    """What agents of these `properties` hold, if they can hold vectors of unit norm with `dim` dimensions.

    Raises:
        ConfigurationError: they cannot.

    """
    for agent, (there, distance) in properties.items():
        if there != dim:
            raise ConfigurationError(
                f"the Vald agent {agent} has dimension {there}, the bundle's embedding {dim}: set "
                "agent.ngt.dimension, which wants an empty index"
            )
        if distance not in DISTANCES:
            raise ConfigurationError(
                f"the Vald agent {agent} has the distance {distance}: set agent.ngt.distance_type to l2"
            )
    kinds = sorted({f"{distance} of {there}" for there, distance in properties.values()})
    return f"{len(properties)} agents, {', '.join(kinds)} dimensions"
