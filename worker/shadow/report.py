"""What `mekiki shadow report` finds: where a bundle that is tried decides otherwise, as JSON and as text."""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.events import ImageShadowed
from schemas.policy import Decision, Direction, disagreements
from worker.review.page import page

TEMPLATES = Path(__file__).parent / "templates"
_MOST_IMAGES = 20
# An image may come twice, soon after each other.
_REMEMBERED = 100_000


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Model):
    """How many images were decided so, and would have been so."""

    served: Decision
    shadow: Decision
    count: int


class Score(_Model):
    """Where a score alone leads elsewhere, and how far its values lie apart on average."""

    score: str
    stricter: int
    laxer: int
    mean_difference: Annotated[float | None, Field(description="of the values; null: one bundle lacks it")]


class Image(_Model):
    """An image with two decisions."""

    image_id: str
    moderated_event_id: UUID
    category: str | None
    served: Decision
    shadow: Decision
    served_scores: dict[str, float]
    shadow_scores: dict[str, float]


class Trial(_Model):
    """One bundle with its policy beside another with its own."""

    served_bundle: str
    served_policy: str
    shadow_bundle: str
    shadow_policy: str
    images: int
    disagree: int
    decisions: list[Pair]
    scores: list[Score]
    furthest: Annotated[list[Image], Field(description="decided otherwise, the furthest apart first")]


class ShadowReport(_Model):
    """Every trial that the topic holds, the one with the most images first."""

    since: str | None
    unreadable: int
    trials: list[Trial]


class _Tally:
    def __init__(self) -> None:
        self.decisions: Counter[tuple[Decision, Decision]] = Counter()
        self.changes: Counter[tuple[str, Direction]] = Counter()
        self.differences: dict[str, tuple[int, float]] = {}
        self.furthest: list[tuple[float, str, Image]] = []

    def add(self, event: ImageShadowed) -> None:
        served, shadow = event.served, event.shadow
        self.decisions[served.decision, shadow.decision] += 1
        self.changes.update(disagreements(served.reasons, shadow.reasons))
        for score in served.scores.keys() & shadow.scores.keys():
            count, total = self.differences.get(score, (0, 0.0))
            difference = abs(shadow.scores[score] - served.scores[score])
            self.differences[score] = count + 1, total + difference
        if served.decision != shadow.decision:
            self._keep(event)

    def _keep(self, event: ImageShadowed) -> None:
        served, shadow = event.served, event.shadow
        image = Image(
            image_id=event.image_id,
            moderated_event_id=event.moderated_event_id,
            category=event.category,
            served=served.decision,
            shadow=shadow.decision,
            served_scores=served.scores,
            shadow_scores=shadow.scores,
        )
        entry = (event.apart, str(event.event_id), image)
        if len(self.furthest) < _MOST_IMAGES:
            heapq.heappush(self.furthest, entry)
        else:
            heapq.heappushpop(self.furthest, entry)

    def trial(self, key: tuple[str, str, str, str]) -> Trial:
        images = self.decisions.total()
        pairs = [
            Pair(served=served, shadow=shadow, count=self.decisions[served, shadow])
            for served in get_args(Decision)
            for shadow in get_args(Decision)
            if self.decisions[served, shadow]
        ]
        names = sorted({score for score, _ in self.changes} | self.differences.keys())
        return Trial(
            served_bundle=key[0], served_policy=key[1], shadow_bundle=key[2], shadow_policy=key[3],
            images=images,
            disagree=sum(pair.count for pair in pairs if pair.served != pair.shadow),
            decisions=pairs,
            scores=[
                Score(
                    score=name,
                    stricter=self.changes[name, "stricter"],
                    laxer=self.changes[name, "laxer"],
                    mean_difference=self._mean(name),
                )
                for name in names
            ],
            furthest=[image for *_, image in sorted(self.furthest, reverse=True, key=lambda each: each[:2])],
        )  # fmt: skip

    def _mean(self, score: str) -> float | None:
        count, total = self.differences.get(score, (0, 0.0))
        return total / count if count else None


class ShadowTally:
    """Takes events one by one; what it holds is bounded, but for the number of trials."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, str, str], _Tally] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def add(self, event: ImageShadowed) -> None:
        """Count an event, unless it came before."""
        if event.event_id.bytes in self._seen:
            return
        self._seen[event.event_id.bytes] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        served, shadow = event.served, event.shadow
        key = (served.bundle_id, served.policy_sha256, shadow.bundle_id, shadow.policy_sha256)
        self._tallies.setdefault(key, _Tally()).add(event)

    def report(self, since: str | None, unreadable: int) -> ShadowReport:
        """What was found."""
        trials = [tally.trial(key) for key, tally in self._tallies.items()]
        trials.sort(key=lambda trial: -trial.images)
        return ShadowReport(since=since, unreadable=unreadable, trials=trials)


def html(report: ShadowReport, pictures: Mapping[str, str]) -> str:
    """The report as a page of one file; `pictures` are data URIs by image id."""
    return page(TEMPLATES, "shadow.html.j2", report=report, pictures=pictures)


def print_text(report: ShadowReport, console: Console) -> None:
    """The report for a terminal."""
    if not report.trials:
        console.print("the topic holds nothing of a shadow: set model.shadow, and see mekiki_shadow_up_ratio")
    for trial in report.trials:
        console.print(
            f"{escape(trial.shadow_bundle)} beside {escape(trial.served_bundle)}: {trial.images:,} images, "
            f"{trial.disagree:,} would have been decided otherwise ({trial.disagree / trial.images:.2%})",
            highlight=False,
        )
        changes = [pair for pair in trial.decisions if pair.served != pair.shadow]
        for pair in sorted(changes, key=lambda pair: -pair.count):
            console.print(f"  {pair.served} → {pair.shadow} {pair.count:,}", highlight=False)
        table = Table("score", "stricter", "laxer", "mean difference", box=None)
        for score in trial.scores:
            mean = "" if score.mean_difference is None else f"{score.mean_difference:.4f}"
            table.add_row(escape(score.score), f"{score.stricter:,}", f"{score.laxer:,}", mean)
        console.print(table)
        for image in trial.furthest:
            console.print(
                f"  {escape(image.image_id)}: {image.served} → {image.shadow}",
                highlight=False,
                soft_wrap=True,
            )
