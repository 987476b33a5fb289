"""What keeps the vectors and answers searches: the seam between the index role and its store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from schemas.search import SearchFilter
from worker.index.attributes import NOTHING_KNOWN, Attributes
from worker.index.neighbour import Neighbour, nearest


class IndexIdentity(BaseModel):
    """What must be equal for vectors to meet in one index: the space, its dimension, and the log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    dim: Annotated[int, Field(gt=0)]
    topic: str


class Change(NamedTuple):
    """An image's new vector (float32 [dim], unit norm) with its attributes, or None: it is deleted."""

    image_id: str
    vector: NDArray[np.float32] | None
    attributes: Attributes = NOTHING_KNOWN


@dataclass(frozen=True)
class IndexSize:
    """How much there is: searchable images, and changes that are in no snapshot yet."""

    vectors: int
    tail: int


@dataclass(frozen=True)
class Snapshot:
    """A durable state of the index: its name, and when every record in it had been read."""

    name: str
    created_at: datetime

    def age(self) -> float:
        """Seconds since then, never negative."""
        return max(0.0, (datetime.now(UTC) - self.created_at).total_seconds())


class Near(NamedTuple):
    """What was near to a new image: `copies` by their copy vectors, `similar` by their embeddings."""

    copies: list[Neighbour]
    similar: list[Neighbour]

    def nearest(self, count: int, but: str) -> "Near":
        """The `count` nearest of each, without the image `but`."""
        return Near(*(nearest((each for each in kind if each.image_id != but), count) for kind in self))


class IndexBackend(Protocol):
    """Vectors of unit norm by image id, and how much of the log they stand for.

    The role's thread alone makes changes; searches and reads come from any thread meanwhile. The log is
    the truth: what a backend loses is read again from `offsets`, so that no change needs to be durable
    when its call returns. What may be retried a backend retries by itself, for a bounded time; then any
    call may raise a MekikiError, and the role ends without acknowledging.
    """

    @property
    def identity(self) -> IndexIdentity:
        """The space, dimension and log of the vectors; never changes. Does not block."""

    def offsets(self) -> dict[int, int]:
        """Partition -> offset of the next record: reading goes on from there. Does not block.

        All records before it are in. After a restart those of what was kept; empty where nothing was.
        """

    def size(self) -> IndexSize:
        """What is searchable at this moment. Does not block: it is asked each turn of the loop."""

    def snapshot(self) -> Snapshot | None:
        """The durable state that a restart would go on from; None while there is none. Does not block.

        A backend may have none at any time.
        """

    def upsert(
        self, image_id: str, vector: NDArray[np.float32], attributes: Attributes = NOTHING_KNOWN
    ) -> None:
        """Make `image_id` searchable by `vector`, float32 [dim] of unit norm, and by no earlier one.

        Filters and orders see `attributes` of it. It is so when this returns, for every thread. May block
        for one write, never for a build.
        """

    def delete(self, image_id: str) -> None:
        """Make `image_id` unsearchable when this returns; of an unknown id nothing. Blocks as `upsert`."""

    def change_each(
        self, changes: Sequence[Change], count: int, radius: float, copy_radius: float | None = None
    ) -> list[Near]:
        """Make `changes` one after another; for each upsert, the images that were very near to it then.

        At most `count` others of each kind, nearest first, among all that was searchable just after that
        change; of a deletion none. Copies are within `copy_radius`, a cosine distance of copy vectors, where
        it is given; similar ones within `radius`, of embeddings, and not compared so where copy vectors can
        be. Both may be approximate where the radius is large. A backend that does not search by copy vectors
        finds no copies, and all that is similar.
        """

    def advance(self, partition: int, offset: int) -> None:
        """All records of `partition` before `offset` are in, whether they changed anything or not."""

    def catch_up(self) -> None:
        """The log was read to its end: from now on the index is as new as the clock. Called once a run."""

    def turn(self) -> None:
        """Do what is due of the house-keeping: start a build, take in a finished one. Does not block.

        Called often, and only while every change so far is acknowledged, so that what is kept holds no
        unacknowledged record. A build that fails is logged, counted and tried again later, not raised.
        """

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        radius: float | None = None,
        where: SearchFilter | None = None,
    ) -> list[Neighbour]:
        """The `count` nearest images to `query` (float32 [dim], unit norm), nearest first.

        None is farther than `radius`, a cosine distance; of those alone that `where` lets in. May be
        approximate, but for changes of the last moments. Blocks for one search, never for a build.
        """

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """The vector that `image_id` is found by, float32 [dim] of unit norm; None if it is not there."""

    def attributes_of(self, image_ids: Sequence[str]) -> list[Attributes]:
        """What is known of each image at this moment; nothing of one that is not there."""

    def clear(self) -> None:
        """Forget everything, durable states too: the index is filled from another log. May block."""

    def close(self) -> None:
        """End builds and let go of the store, for another process to use. May block; again does nothing."""
