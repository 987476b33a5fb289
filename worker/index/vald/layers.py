"""Changes that the cluster does not show yet, over what it does: searched exactly.

Two layers at most: one that is on its way to the cluster, and over it one that takes the changes meanwhile.
What a layer tells of an image counts, and what lies below counts for that image no more. Searches take a
view, which names the layers and the last change that they see, in one step and hold no lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter
from worker.index.attributes import Attributes
from worker.index.backend import Change
from worker.index.candidates import NEVER, limits_among, nearest_among
from worker.index.neighbour import Neighbour
from worker.index.tail import Tail


class Layer:
    """New vectors in a tail, and from which change on each image is told of here."""

    def __init__(self, dim: int) -> None:
        self.tail = Tail(dim)
        self.since: dict[str, int] = {}

    def holds(self, image_id: str) -> bool:
        """Whether the image has a vector here that counts."""
        row = self.tail.positions.get(image_id)
        return row is not None and row not in self.tail.died

    def bury(self, image_id: str, change: int) -> None:
        """From `change` on the vector that the image has here, if any, counts no more."""
        row = self.tail.positions.get(image_id)
        if row is not None:
            self.tail.died.setdefault(row, change)


class View(NamedTuple):
    """What there was just after `change`; of each layer, the uppermost first, the first rows."""

    change: int
    layers: tuple[tuple[Layer, int], ...]

    def shows_below(self, image_id: str) -> bool:
        """Whether what lies below the layers counts for the image."""
        return all(layer.since.get(image_id, NEVER) > self.change for layer, _ in self.layers)

    def search(self, query: NDArray[np.float32], count: int, where: SearchFilter | None) -> list[Neighbour]:
        """The `count` nearest of all layers that `where` lets in. Exact."""
        queries, limits = query[None], limits_among((), 1, count)
        parts = [
            layer.tail.look(queries, count, length, self.change, limits, where)
            for layer, length in self.layers
        ]
        return nearest_among(parts, queries, count)[0]

    def within(
        self, queries: NDArray[np.float32], radius: float, count: int, views: Sequence["View"]
    ) -> list[list[Neighbour]]:
        """For each query (float32 [n, dim]) the `count` nearest at least in `radius` at its view. Exact.

        All views have the layers of this one.
        """
        changes = [view.change for view in views]
        found: list[list[Neighbour]] = [[] for _ in views]
        for number, (layer, _) in enumerate(self.layers):
            lengths = [view.layers[number][1] for view in views]
            of_layer = layer.tail.within(queries, radius, lengths, changes, None, count)
            for together, near in zip(found, of_layer, strict=True):
                together.extend(near)
        return found

    def seen(self, image_id: str) -> tuple[Tail, int] | None:
        """The tail and row in which the image counts; None if it does in no layer."""
        for layer, length in self.layers:
            row = layer.tail.positions.get(image_id)
            # A row beyond the view replaced what the view sees: it is as good, being newer.
            if row is not None and (row >= length or layer.tail.died.get(row, NEVER) > self.change):
                return layer.tail, row
        return None


@dataclass(frozen=True)
class Batch:
    """A layer that gets no more changes: what it came to, and the log position that it reaches to.

    `as_of`: the Unix time at which the log had nothing before that position that is not in.
    """

    layer: Layer
    change: int
    offsets: dict[int, int]
    as_of: float

    def changes(self) -> list[Change]:
        """The last change of each image."""
        tail = self.layer.tail
        columns, _ = tail.attributes_of([])
        changes: list[Change] = []
        for image_id in self.layer.since:
            row = tail.positions.get(image_id)
            if row is None or tail.died.get(row, NEVER) <= self.change:
                changes.append(Change(image_id, None))
            else:
                changes.append(Change(image_id, tail.vector(row), columns.row(row)))
        return changes


class Layers:
    """The layers as one thread changes them; `holds_below` tells which images lie below, `count` how many."""

    def __init__(self, dim: int, count: int, holds_below: Callable[[str], bool]) -> None:
        self._dim = dim
        self._holds_below = holds_below
        self._upper = Layer(dim)
        self._batch: Batch | None = None
        self.images = count  # that are searchable
        self.view = View(0, ((self._upper, 0),))

    @property
    def changes(self) -> int:
        """How many images the layers tell of."""
        return len(self._upper.since) + (0 if self._batch is None else len(self._batch.layer.since))

    def upsert(self, image_id: str, vector: NDArray[np.float32], attributes: Attributes) -> None:
        """Show `image_id` with `vector`, float32 [dim] of unit norm, and with no earlier one."""
        held = self._holds(image_id)
        change = self._begin(image_id)
        self._upper.tail.append(image_id, vector, attributes)
        self.images += not held
        self._show(change)

    def delete(self, image_id: str) -> None:
        """Show `image_id` no more; an unknown id changes nothing."""
        if self._holds(image_id):
            change = self._begin(image_id)
            self.images -= 1
            self._show(change)

    def set_aside(self, offsets: dict[int, int], as_of: float) -> Batch:
        """The changes so far, and over them a new layer; until `drop`, the same. As Batch says."""
        if self._batch is None:
            self._batch = Batch(self._upper, self.view.change, dict(offsets), as_of)
            self._upper = Layer(self._dim)
            self._show(self.view.change)
        return self._batch

    def drop(self) -> None:
        """What was set aside lies below now."""
        self._batch = None
        self._show(self.view.change)

    def _holds(self, image_id: str) -> bool:
        for layer, _ in self.view.layers:
            if image_id in layer.since:
                return layer.holds(image_id)
        return self._holds_below(image_id)

    def _begin(self, image_id: str) -> int:
        """The number of a change of `image_id`, from which on nothing that it had counts."""
        change = self.view.change + 1
        for layer, _ in self.view.layers:
            layer.bury(image_id, change)
        self._upper.since.setdefault(image_id, change)
        return change

    def _show(self, change: int) -> None:
        """From here on searches see `change` and all before it."""
        layers = [self._upper] if self._batch is None else [self._upper, self._batch.layer]
        self.view = View(change, tuple((layer, len(layer.tail)) for layer in layers))
