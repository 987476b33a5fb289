"""Applies another policy to verdicts of the past, by the scores on them, and counts what changes."""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.events import Code
from schemas.policy import Decision, Policy
from worker.policy.report import (
    CategoryDiff,
    Change,
    Cut,
    DiffReport,
    NearImage,
    Reviewed,
    ReviewedDecisions,
)
from worker.score.code_links import code_scores
from worker.score.decide import decide, policy_sha256

# Categories come with uploads: what is beyond is counted together.
_MOST_CATEGORIES = 1000
OTHER_CATEGORIES = "(others)"
# Words of people are as many as people can say: the latest of so many images is kept.
_MOST_REVIEWED = 1_000_000


@dataclass
class _Nearest:
    """The `limit` images nearest to a cut, on one side of it."""

    limit: int
    heap: list[tuple[float, int, NearImage]] = field(default_factory=list)  # the farthest first

    def offer(self, distance: float, number: int, event: Mapping[str, Any], value: float, cut: float) -> None:
        if len(self.heap) >= self.limit and -distance <= self.heap[0][0]:
            return
        image = NearImage(
            image_id=event["image_id"],
            category=event.get("category"),
            value=value,
            cut=cut,
            decision=event["decision"],
            scores=event["scores"],
            topic=event["input"]["topic"],
            partition=event["input"]["partition"],
            offset=event["input"]["offset"],
            entry=event["input"].get("entry"),
        )
        item = (-distance, -number, image)
        if len(self.heap) < self.limit:
            heapq.heappush(self.heap, item)
        else:
            heapq.heapreplace(self.heap, item)

    def images(self) -> list[NearImage]:
        return [image for _, _, image in sorted(self.heap, key=lambda item: (-item[0], -item[1]))]


@dataclass(frozen=True)
class _Said:
    """What a person said of an image, and both policies."""

    at: str
    truth: str
    old: Decision
    new: Decision


class PolicyDiff:
    """Counts. Memory is bounded, however many verdicts come."""

    def __init__(self, policy: Policy, *, near: int = 12, reviewed: bool = False) -> None:
        """Apply `policy`; keep the `near` images nearest to each cut on either side."""
        self._policy = policy
        self._near = near
        self._counts: dict[str, Counter[tuple[Decision, Decision]]] = defaultdict(Counter)
        self._cuts: dict[tuple[str, str], tuple[_Nearest, _Nearest]] = {}
        self._said: dict[str, _Said] | None = {} if reviewed else None
        self._number = self._unreadable = self._without_scores = 0

    def add(self, values: Iterable[bytes | None]) -> None:
        """Verdicts, as they stand on the moderated topic."""
        for value in values:
            try:
                event = json.loads(value or b"")
                self._add(event)
            except (ValueError, KeyError, TypeError, RecursionError):
                self._unreadable += 1

    def _add(self, event: dict[str, Any]) -> None:
        scores, review = event["scores"], event.get("review")
        if not scores:  # blocked by a person, unseen
            self._without_scores += 1
            return
        old: Decision = event["decision"] if review is None else review["policy_decision"]
        codes = [Code.model_validate(code) for code in event.get("codes", ())]
        if codes:
            scores = event["scores"] = {**scores, **code_scores(self._policy, codes)}
        category = event.get("category")
        new, _ = decide(self._policy, category, scores)
        if review is not None and review["event_id"] == event["input"]["event_id"]:
            self._note_said(event, old, new)
            return  # the image was counted when it was uploaded
        name = category or ""
        if name not in self._counts and len(self._counts) >= _MOST_CATEGORIES:
            name = OTHER_CATEGORIES
        self._counts[name][old, new] += 1
        self._number += 1
        for score, threshold in self._policy.for_category(category).items():
            value = scores.get(score)
            if value is None:
                continue
            for effect, level in (("block", threshold.block), ("review", threshold.review)):
                if level is not None:
                    sides = self._cuts.get((score, effect))
                    if sides is None:
                        sides = self._cuts[score, effect] = (_Nearest(self._near), _Nearest(self._near))
                    side = sides[value >= level]
                    side.offer(abs(value - level), self._number, event, value, level)

    def _note_said(self, event: Mapping[str, Any], old: Decision, new: Decision) -> None:
        if self._said is None:
            return
        said = _Said(event["decided_at"], event["decision"], old, new)
        before = self._said.get(event["image_id"])
        if before is None or before.at <= said.at:
            if before is None and len(self._said) >= _MOST_REVIEWED:
                del self._said[next(iter(self._said))]
            self._said[event["image_id"]] = said

    def report(self, since: str | None = None) -> DiffReport:
        """What was counted so far."""
        total: Counter[tuple[Decision, Decision]] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        return DiffReport(
            policy_sha256=policy_sha256(self._policy),
            since=since,
            verdicts=self._number,
            unreadable=self._unreadable,
            without_scores=self._without_scores,
            total=_category("", total),
            categories=sorted(
                (_category(name, counts) for name, counts in self._counts.items()),
                key=lambda category: (-category.changed, -category.verdicts, category.category),
            ),
            cuts=[
                Cut(score=score, effect=effect, under=under.images(), over=over.images())
                for (score, effect), (under, over) in sorted(self._cuts.items())
            ],
            reviewed=None if self._said is None else _reviewed(self._said.values()),
        )


def _category(name: str, counts: Counter[tuple[Decision, Decision]]) -> CategoryDiff:
    before: Counter[Decision] = Counter()
    after: Counter[Decision] = Counter()
    for (old, new), count in counts.items():
        before[old] += count
        after[new] += count
    return CategoryDiff(
        category=name,
        verdicts=counts.total(),
        before=dict(before),
        after=dict(after),
        changes=[
            Change(before=old, after=new, count=count)
            for (old, new), count in sorted(counts.items())
            if old != new
        ],
    )


def _reviewed(said: Iterable[_Said]) -> Reviewed:
    said = list(said)
    return Reviewed(
        images=len(said),
        blocked=sum(one.truth == "block" for one in said),
        before=_decisions([(one.truth, one.old) for one in said]),
        after=_decisions([(one.truth, one.new) for one in said]),
    )


def _decisions(pairs: list[tuple[str, Decision]]) -> ReviewedDecisions:
    """Pairs of what the person said and what the policy says."""
    right = sum(truth == "block" and decision == "block" for truth, decision in pairs)
    blocked = sum(decision == "block" for _, decision in pairs)
    wanted = sum(truth == "block" for truth, _ in pairs)
    return ReviewedDecisions(
        blocked=blocked,
        to_review=sum(decision == "review" for _, decision in pairs),
        precision=right / blocked if blocked else None,
        recall=right / wanted if wanted else None,
    )
