"""A streaming runbook and its vectors, drawn: big-ann's final one at a hundredth, with drift and returns.

The streaming track of NeurIPS'23 (Simhadri et al., "Results of the Big ANN: NeurIPS'23 competition", 2024;
harsha-simhadri/big-ann-benchmarks, neurips23/streaming) runs one on 30 million vectors in 64 clusters: five
rounds, in each of which every cluster gets a fifth of its vectors and then loses a drawn share of its
oldest, with searches for the same queries in between. As there, a vector's *tag* is the row that it was
inserted with, and a tag that is replaced has the vector of another row. Beyond that, half of what a round
deletes comes back in it, to be deleted for good in the next, and clusters drift from round to round.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Operation = Literal["insert", "delete", "return", "replace", "search"]

LATENT = 24  # clusters lie in a space of so many dimensions, as those of embeddings do; noise is in all
SPREAD = 0.6  # of a cluster, where centres have 1
DRIFT = 0.5  # of a centre, from round to round
NOISE = 0.5
REPLACED = 0.05  # of what a round inserts
RETURNED = 0.5  # of what a round deletes
MOST_DELETED = 0.9
SEARCHES = 4  # beside each kind of change of a round


@dataclass(frozen=True)
class Step:
    """One operation: `tags` come, go, or get the vectors in `rows`."""

    operation: Operation
    round: int
    tags: range = range(0)
    rows: range = range(0)


@dataclass(frozen=True)
class Cluster:
    """Its rows lie together: `stored` of each round, then `held` of each round, which replace others."""

    first: int
    stored: int
    held: int
    rounds: int

    def inserted(self, number: int) -> range:
        """The rows that come in a round."""
        start = self.first + number * self.stored
        return range(start, start + self.stored)

    def replacing(self, number: int) -> range:
        """The rows that replace the newest in a round."""
        start = self.first + self.rounds * self.stored + number * self.held
        return range(start, start + self.held)


@dataclass(frozen=True)
class Runbook:
    """`vectors` float32 [n, dim] and `queries` float32 [m, dim], of unit norm; what is done with them."""

    vectors: Rows
    queries: Rows
    steps: Sequence[Step]


class Living:
    """Which tags live, and the row of each one's vector."""

    def __init__(self, tags: int) -> None:
        self.row_of = np.full(tags, -1)

    def apply(self, step: Step) -> None:
        """Do what `step` does."""
        where = slice(step.tags.start, step.tags.stop)
        self.row_of[where] = -1 if step.operation == "delete" else step.rows

    def tags(self) -> NDArray[np.int64]:
        """Those that live, in order."""
        return np.flatnonzero(self.row_of >= 0)


def draw(vectors: int, queries: int, clusters: int, rounds: int, dim: int, seed: int = 0) -> Runbook:
    """A runbook over about so many vectors; `queries` are of all clusters as they are in all rounds."""
    chance = np.random.default_rng(seed)
    parts = _clusters(vectors, clusters, rounds, chance)
    centres = chance.normal(size=(rounds, clusters, LATENT))
    centres[1:] *= DRIFT
    centres = np.cumsum(centres, axis=0)
    basis = chance.normal(size=(LATENT, dim))
    each = [np.repeat([*range(rounds)] * 2, [p.stored] * rounds + [p.held] * rounds) for p in parts]
    of_cluster = np.repeat(np.arange(clusters), [len(numbers) for numbers in each])
    rows = _around(centres[np.concatenate(each), of_cluster], basis, chance)
    asked = centres[chance.integers(0, rounds, queries), chance.integers(0, clusters, queries)]
    return Runbook(rows, _around(asked, basis, chance), list(_steps(parts, rounds, chance)))


def _clusters(vectors: int, clusters: int, rounds: int, chance: np.random.Generator) -> list[Cluster]:
    """Clusters of sizes of their own, the largest three times the smallest at most."""
    weights = chance.uniform(0.5, 1.5, clusters)
    sizes = (weights / weights.sum() * vectors / rounds / (1 + REPLACED)).astype(int)
    parts: list[Cluster] = []
    first = 0
    for stored in sizes.tolist():
        part = Cluster(first, stored, max(1, int(REPLACED * stored)), rounds)
        parts.append(part)
        first += rounds * (part.stored + part.held)
    return parts


def _around(centres: NDArray[np.float64], basis: NDArray[np.float64], chance: np.random.Generator) -> Rows:
    """A vector of unit norm near each of `centres`, float32 [n, dim]."""
    flat = centres + SPREAD * chance.normal(size=centres.shape)
    rows = flat @ basis + NOISE * chance.normal(size=(len(centres), basis.shape[1]))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _steps(parts: Sequence[Cluster], rounds: int, chance: np.random.Generator) -> Iterator[Step]:
    lost = [part.first for part in parts]  # a cluster's tags before it have been deleted
    back = [range(0) for _ in parts]  # what came back in the last round
    for number in range(rounds):
        come = [part.inserted(number) for part in parts]
        yield from _searched(Step("insert", number, tags, tags) for tags in come)
        ends = [
            first + int(chance.uniform(0, MOST_DELETED) * (tags.stop - first))
            for first, tags in zip(lost, come, strict=True)
        ]
        gone = [range(first, end) for first, end in zip(lost, ends, strict=True)]
        yield from _searched(Step("delete", number, tags) for tags in (*gone, *back))
        back = [tags[: int(RETURNED * len(tags))] for tags in gone]
        yield from _searched(Step("return", number, tags, tags) for tags in back)
        rows = [part.replacing(number) for part in parts]
        yield from _searched(
            Step("replace", number, tags[-len(new) :], new) for tags, new in zip(come, rows, strict=True)
        )
        lost = ends


def _searched(changes: Iterable[Step]) -> Iterator[Step]:
    """`changes`, with `SEARCHES` searches among them, the last one after all."""
    steps = [step for step in changes if step.tags]
    ends = np.linspace(0, len(steps), SEARCHES + 1).astype(int).tolist()
    for first, end in pairwise(ends):
        yield from steps[first:end]
        yield Step("search", steps[0].round if steps else 0)
