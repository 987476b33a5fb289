"""Scores of the verdicts of the last days as columns in memory: another threshold is tried at once."""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from console.database import Database, verdict
from console.rows import Row
from schemas.policy import Policy, Threshold

DECISIONS = ("accept", "review", "block")
_CODE = {name: number for number, name in enumerate(DECISIONS)}
_GROWTH = 65_536
_MOST_CATEGORIES = 5000
_META = [("partition", "i4"), ("offset", "i8"), ("decision", "i1"), ("category", "i4"), ("at", "i8")]


@dataclass(frozen=True)
class Marginal:
    """A verdict near a cut."""

    partition: int
    offset: int
    value: float


@dataclass(frozen=True)
class Recount:
    """Verdicts by decision, as they are and as they would be; `changes` by (before, after)."""

    verdicts: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    changes: Mapping[tuple[str, str], int]
    under: Sequence[Marginal]
    over: Sequence[Marginal]


class ScoreColumns:
    """Thread-safe. A verdict takes 8 bytes a score and 25 more; the oldest go when `most` is reached."""

    def __init__(self, most: int = 2_000_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._size = 0
        self._scores: dict[str, NDArray[np.float64]] = {}
        self._meta = np.zeros(_GROWTH, _META)
        self._categories: dict[str, int] = {"": 0}

    def load(self, database: Database, since_ms: int) -> None:
        """What the database holds since then."""
        columns = (
            verdict.c.partition,
            verdict.c.offset,
            verdict.c.policy_decision,
            verdict.c.category,
            verdict.c.scores,
            verdict.c.decided_ms,
            verdict.c.reviewer,
        )
        query = select(*columns).where(verdict.c.decided_ms >= since_ms).order_by(verdict.c.decided_ms)
        with database.transaction() as connection:
            found = connection.execution_options(yield_per=20_000).execute(query.limit(self._most))
            for rows in found.mappings().partitions():
                self.add([dict(row) for row in rows])

    def add(self, rows: Iterable[Row]) -> None:
        """Append verdicts. Those of people's words are of images that are there already."""
        kept = [row for row in rows if row["reviewer"] is None]
        if not kept:
            return
        with self._lock:
            if self._size + len(kept) > self._most:
                self._drop(max(len(kept), self._most // 10))
            self._reserve(self._size + len(kept))
            first, last = self._size, self._size + len(kept)
            part = self._meta[first:last]
            part["partition"] = [row["partition"] for row in kept]
            part["offset"] = [row["offset"] for row in kept]
            part["at"] = [row["decided_ms"] for row in kept]
            part["decision"] = [_CODE.get(str(row["policy_decision"]), 0) for row in kept]
            part["category"] = [self._category(str(row["category"] or "")) for row in kept]
            scores = [json.loads(str(row["scores"])) for row in kept]
            for name in {name for one in scores for name in one} - self._scores.keys():
                self._scores[name] = np.full(len(self._meta), np.nan, np.float64)
            for name, column in self._scores.items():
                column[first:last] = [one.get(name, np.nan) for one in scores]
            self._size = last

    def names(self) -> list[str]:
        """Every score that some verdict has."""
        with self._lock:
            return sorted(self._scores)

    def histogram(self, name: str, bins: int = 50) -> list[int]:
        """Verdicts by this score, from 0 to 1."""
        with self._lock:
            values = self._scores[name][: self._size]
            return [int(count) for count in np.histogram(values[~np.isnan(values)], bins, (0, 1))[0]]

    def recount(self, policy: Policy, focus: str | None = None, near: int = 8) -> Recount:
        """What `policy` would decide; with the verdicts nearest to the cuts of the score `focus`."""
        with self._lock:
            size = self._size
            meta = self._meta[:size]
            after = np.zeros(size, np.int8)
            for category, rows in self._rows_by_category(policy, meta["category"]):
                for name, threshold in policy.for_category(category).items():
                    if name in self._scores:
                        effect = self._effect(name, threshold, rows, size)
                        after[rows] = np.maximum(after[rows], effect)
            pairs = np.bincount(meta["decision"] * 3 + after, minlength=9).reshape(3, 3)
            under, over = self._marginal(policy, focus, near, meta) if focus in self._scores else ((), ())
        return Recount(
            verdicts=size,
            before={name: int(pairs[code].sum()) for name, code in _CODE.items()},
            after={name: int(pairs[:, code].sum()) for name, code in _CODE.items()},
            changes={
                (old, new): int(pairs[_CODE[old], _CODE[new]])
                for old in DECISIONS
                for new in DECISIONS
                if old != new and pairs[_CODE[old], _CODE[new]]
            },
            under=under,
            over=over,
        )

    def _rows_by_category(
        self, policy: Policy, categories: NDArray[np.int32]
    ) -> Iterable[tuple[str | None, slice | NDArray[np.bool_]]]:
        own = {self._categories[name]: name for name in policy.categories if name in self._categories}
        if not own:
            yield None, slice(None)
            return
        yield None, ~np.isin(categories, list(own))
        for code, name in own.items():
            yield name, categories == code

    def _effect(
        self, name: str, threshold: Threshold, rows: slice | NDArray[np.bool_], size: int
    ) -> NDArray[np.int8]:
        values = self._scores[name][:size][rows]
        effect = np.zeros(len(values), np.int8)
        # A comparison with NaN, a score that is absent, is false.
        if threshold.review is not None:
            effect[values >= threshold.review] = _CODE["review"]
        if threshold.block is not None:
            effect[values >= threshold.block] = _CODE["block"]
        if threshold.unless is not None and threshold.unless.score in self._scores:
            effect[self._scores[threshold.unless.score][:size][rows] < threshold.unless.below] = 0
        return effect

    def _marginal(
        self, policy: Policy, focus: str | None, near: int, meta: NDArray[np.void]
    ) -> tuple[list[Marginal], list[Marginal]]:
        threshold = policy.thresholds.get(focus or "", Threshold())
        cut = threshold.block if threshold.block is not None else threshold.review
        if cut is None:
            return [], []
        values = self._scores[focus or ""][: len(meta)]
        level = cut
        sides = []
        for side in (values < level, values >= level):
            there = np.flatnonzero(side)
            distance = np.abs(values[there] - level)
            nearest = np.argpartition(distance, near)[:near] if len(there) > near else np.arange(len(there))
            order = there[nearest[np.argsort(distance[nearest], kind="stable")]]
            sides.append(
                [
                    Marginal(int(meta["partition"][row]), int(meta["offset"][row]), float(values[row]))
                    for row in order
                ]
            )
        return sides[0], sides[1]

    def _category(self, name: str) -> int:
        if name not in self._categories and len(self._categories) >= _MOST_CATEGORIES:
            return 0
        return self._categories.setdefault(name, len(self._categories))

    def _reserve(self, size: int) -> None:
        if size <= len(self._meta):
            return
        length = max(size, int(len(self._meta) * 1.5))
        self._meta = np.concatenate([self._meta, np.zeros(length - len(self._meta), self._meta.dtype)])
        for name, column in self._scores.items():
            self._scores[name] = np.concatenate([column, np.full(length - len(column), np.nan, np.float64)])

    def _drop(self, count: int) -> None:
        """The `count` oldest."""
        left = max(0, self._size - count)
        for column in (self._meta, *self._scores.values()):
            column[:left] = column[self._size - left : self._size].copy()
        for column in self._scores.values():
            column[left:] = np.nan
        self._size = left

    def forget(self, since_ms: int) -> None:
        """Drop what is older."""
        with self._lock:
            self._drop(int((self._meta["at"][: self._size] < since_ms).sum()))
