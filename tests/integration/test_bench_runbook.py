"""The runbook of `make bench-runbook` finds out an index that is wrong; ours, with its builds, is right."""

from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from benchmarks.runbook_drawn import draw
from benchmarks.runbook_ours import OurIndex
from benchmarks.runbook_played import play, truths_of
from benchmarks.streaming import timed
from tests.unit.index.indexing import DIM, open_index


class Exact:
    """A StreamingIndex that compares every vector."""

    def __init__(self):
        self._vectors = {}
        self._deleted = set()

    def insert(self, tags, vectors):
        self._vectors.update((t, v) for t, v in zip(tags, vectors, strict=True) if self._takes(t))

    def delete(self, tags):
        self._deleted |= {*tags}
        for tag in tags:
            self._vectors.pop(tag, None)

    def search(self, queries, count):
        order = np.argsort(-queries @ np.stack([*self._vectors.values()]).T, axis=1)
        return np.array([*self._vectors])[order[:, :count]]

    def _takes(self, tag):
        return True


class DeletesNothing(Exact):
    def delete(self, tags):
        pass


class ReplacesNothing(Exact):
    def _takes(self, tag):
        return tag not in self._vectors


class TakesNothingBack(Exact):
    def _takes(self, tag):
        return tag not in self._deleted


@pytest.fixture(scope="module")
def runbook():
    return draw(vectors=800, queries=20, clusters=4, rounds=3, dim=DIM)


def played(runbook, index):
    def call(name, *arguments):
        return timed(getattr(index, name), *arguments)

    return list(play(runbook, list(truths_of(runbook)), call))


def test_an_exact_index_finds_everything_in_a_runbook_of_every_operation(runbook):
    found = played(runbook, Exact())
    assert {(one.recall, one.dead) for one in found} == {(1.0, 0)}
    tags = Counter()
    for step in runbook.steps:
        tags.update({step.operation: len(step.tags)})
    assert tags["return"] > 50
    assert tags["replace"] > 20
    living = tags["insert"] + tags["return"] - tags["delete"]
    assert found[-1].living == living < max(one.living for one in found)


@pytest.mark.parametrize("wrong", [DeletesNothing, ReplacesNothing, TakesNothingBack])
def test_a_wrong_index_is_found_out(runbook, wrong):
    found = played(runbook, wrong())
    assert min(one.recall for one in found) < 0.97
    assert (max(one.dead for one in found) > 0) == (wrong is DeletesNothing)


def test_our_index_finds_everything_while_it_builds_and_merges(tmp_path):
    with closing(open_index(tmp_path)) as index:  # builds after each change
        found = played(draw(vectors=200, queries=20, clusters=4, rounds=1, dim=DIM), OurIndex(index))
        assert index.snapshot() is not None
    assert {(one.recall, one.dead) for one in found} == {(1.0, 0)}
