"""The index of one process, by NGT, in a directory of its own: an IndexBackend."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from schemas.bundle import CopyHead
from schemas.search import SearchFilter
from worker.index.attributes import NOTHING_KNOWN, Attributes
from worker.index.backend import Change, IndexIdentity, IndexSize, Near, Snapshot
from worker.index.neighbour import Neighbour
from worker.index.ngt.builder import SegmentBuild
from worker.index.ngt.copies import NO_SPACE
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.recall import Recall, Sample
from worker.index.ngt.snapshots import Snapshots
from worker.index.ngt.together import Together
from worker.index.owner import OwnerLock
from worker.metrics import Metrics
from worker.settings import IndexSettings

# Searches for more results, and with a filter, take so long that others do not wait for them.
_MOST_TOGETHER = 200


class NgtIndex:
    """See IndexBackend. A snapshot is a generation, built beside the loop; nothing here blocks for it.

    Owns its parts from now on; `snapshots` builds from `live` into `directory`, which `lock` keeps; `recall`
    is offered each search.
    """

    def __init__(
        self,
        live: LiveIndex,
        snapshots: Snapshots,
        directory: IndexDirectory,
        lock: OwnerLock,
        recall: Recall | None = None,
    ) -> None:
        self._recall = recall
        self._live = live
        self._together = Together(live)
        self._snapshots = snapshots
        self._directory = directory
        self._lock = lock

    @property
    def identity(self) -> IndexIdentity:
        """See IndexBackend."""
        return self._live.identity

    def offsets(self) -> dict[int, int]:
        """See IndexBackend."""
        return self._live.offsets()

    def size(self) -> IndexSize:
        """See IndexBackend."""
        return self._live.size()

    def snapshot(self) -> Snapshot | None:
        """See IndexBackend."""
        manifest = self._live.manifest
        return None if manifest is None else Snapshot(manifest.name, manifest.created_at)

    def upsert(
        self, image_id: str, vector: NDArray[np.float32], attributes: Attributes = NOTHING_KNOWN
    ) -> None:
        """See IndexBackend."""
        self._live.upsert(image_id, vector, attributes)

    def delete(self, image_id: str) -> None:
        """See IndexBackend."""
        self._live.delete(image_id)

    def change_each(
        self, changes: Sequence[Change], count: int, radius: float, copy_radius: float | None = None
    ) -> list[Near]:
        """See IndexBackend. Exact over the tail; over segments while the radius is small."""
        return self._live.change_each(changes, count, radius, copy_radius)

    def advance(self, partition: int, offset: int) -> None:
        """See IndexBackend."""
        self._live.advance(partition, offset)

    def catch_up(self) -> None:
        """See IndexBackend."""
        self._live.catch_up()

    def turn(self) -> None:
        """See IndexBackend."""
        self._snapshots.turn()

    def is_building(self) -> bool:
        """Whether a build runs or is due at once: the state of the directory is not final yet."""
        return self._snapshots.is_building()

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        radius: float | None = None,
        where: SearchFilter | None = None,
    ) -> list[Neighbour]:
        """See IndexBackend. Exact over the tail and where few are let in; approximate over the generation."""
        if where is None and count <= _MOST_TOGETHER:
            view, found = self._together.search(query, count)
            if radius is not None:
                found = [near for near in found if near.distance <= radius]
        else:
            view = self._live.view
            found = self._live.search(query, count, radius, where, view)
        if self._recall is not None:
            self._recall.offer(Sample(view, query, count, radius, where, found))
        return found

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """See IndexBackend."""
        return self._live.vector(image_id)

    def attributes_of(self, image_ids: Sequence[str]) -> list[Attributes]:
        """See IndexBackend."""
        return self._live.attributes_of(image_ids)

    def clear(self) -> None:
        """See IndexBackend."""
        self._snapshots.stop()
        self._directory.discard_generations()
        self._live.clear()

    def close(self) -> None:
        """See IndexBackend."""
        if self._recall is not None:
            self._recall.stop()
        self._together.close()
        self._snapshots.stop()
        self._lock.release()


def open_ngt_index(
    settings: IndexSettings, identity: IndexIdentity, metrics: Metrics, copies: CopyHead | None = None
) -> NgtIndex:
    """The index in `index.directory`, at its newest whole generation, owned by this process.

    Its copy vectors are those of `copies`. Blocks for reading the generation's files.

    Raises:
        IndexDirectoryError: the directory is owned by another process, or of another space.

    """
    # The products are small: threads of BLAS would wait far longer for each other and for busy cores.
    threadpool_limits(1, user_api="blas")
    lock = OwnerLock(settings.directory)
    try:
        directory = IndexDirectory(settings.directory, identity, NO_SPACE if copies is None else copies.space)
        directory.remove_leftovers()
        live = LiveIndex(identity, directory.load_newest(settings.generation_max_age, copies))
        start_build = partial(SegmentBuild, directory, threads=settings.build_threads)
        snapshots = Snapshots(live, directory, start_build, settings, metrics)
        recall = None
        if settings.recall_share:
            recall = Recall(live, settings.recall, settings.recall_share, metrics)
            recall.start()
        return NgtIndex(live, snapshots, directory, lock, recall)
    except BaseException:
        lock.release()
        raise
