"""A runbook is played on an index, each search held against an exact one over what lives at that moment."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.runbook_drawn import Living, Operation, Runbook, Step
from benchmarks.streaming import Rows, Took, recall

COUNT = 10
BLOCK = 8192  # of vectors that are compared at a time

# Calls a method of a StreamingIndex by its name.
Call = Callable[..., Took]


@dataclass(frozen=True)
class Truth:
    """What a search is to find, int64 [queries, COUNT], and how many vectors live then."""

    nearest: NDArray[np.int64]
    living: int


@dataclass
class Work:
    """So many changes or searches took so many seconds, of wall time and of the index's own process's CPU."""

    count: int = 0
    wall: float = 0.0
    cpu: float = 0.0


@dataclass
class Checkpoint:
    """A search for all queries, and the work since the one before it; `dead` results do not live."""

    round: int = 0
    living: int = 0
    recall: float = 0.0
    dead: int = 0
    work: dict[Operation, Work] = field(default_factory=dict)

    def add(self, operation: Operation, count: int, took: Took) -> None:
        """Count one call."""
        work = self.work.setdefault(operation, Work())
        work.count += count
        work.wall += took.wall
        work.cpu += took.cpu


def play(
    runbook: Runbook, truths: Sequence[Truth], call: Call, rate: float = math.inf
) -> Iterator[Checkpoint]:
    """Do what `runbook` says, with at most `rate` changes a second; `truths` are those of its searches."""
    living, left, checkpoint = Living(len(runbook.vectors)), iter(truths), Checkpoint()
    for step in runbook.steps:
        if step.operation != "search":
            living.apply(step)
            took = _change(runbook, step, call)
            checkpoint.add(step.operation, len(step.tags), took)
            time.sleep(max(0.0, len(step.tags) / rate - took.wall))
            continue
        took, truth = call("search", runbook.queries, COUNT), next(left)
        checkpoint.add("search", len(runbook.queries), took)
        checkpoint.round, checkpoint.living = step.round, truth.living
        checkpoint.recall = recall(truth.nearest, took.answer)
        checkpoint.dead = int(np.isin(took.answer, living.tags(), invert=True).sum())
        yield checkpoint
        checkpoint = Checkpoint()


def _change(runbook: Runbook, step: Step, call: Call) -> Took:
    if step.operation == "delete":
        return call("delete", list(step.tags))
    return call("insert", list(step.tags), runbook.vectors[step.rows.start : step.rows.stop])


def truths_of(runbook: Runbook) -> Iterator[Truth]:
    """What each search of `runbook` is to find."""
    living = Living(len(runbook.vectors))
    for step in runbook.steps:
        if step.operation == "search":
            tags = living.tags()
            found = _nearest(runbook.queries, runbook.vectors, living.row_of[tags])
            yield Truth(tags[found], len(tags))
        else:
            living.apply(step)


def _nearest(queries: Rows, vectors: Rows, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of `rows`, int64 [queries, COUNT], hold the vectors nearest to each query: each is compared."""
    places = np.empty((len(queries), 0), np.int64)
    likeness = np.empty((len(queries), 0), np.float32)
    for first in range(0, len(rows), BLOCK):
        products = queries @ vectors[rows[first : first + BLOCK]].T
        block = np.broadcast_to(np.arange(first, first + products.shape[1]), products.shape)
        likeness = np.concatenate([likeness, products], axis=1)
        places = np.concatenate([places, block], axis=1)
        best = np.argpartition(-likeness, COUNT - 1, axis=1)[:, :COUNT]
        likeness, places = (np.take_along_axis(each, best, axis=1) for each in (likeness, places))
    return places
