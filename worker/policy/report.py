"""What `mekiki policy diff` finds, as JSON, as text and as a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.policy import Decision
from worker.review.page import page, share

TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 30


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Model):
    """How many verdicts would have been another."""

    before: Decision
    after: Decision
    count: int


class CategoryDiff(_Model):
    """Verdicts on listings of one category by decision, before and after."""

    category: Annotated[str, Field(description="empty: none")]
    verdicts: int
    before: dict[Decision, int]
    after: dict[Decision, int]
    changes: list[Change]

    @property
    def changed(self) -> int:
        """Verdicts that would have been another."""
        return sum(change.count for change in self.changes)

    def rate(self, decision: Decision, *, after: bool) -> float:
        """Share of the verdicts with this decision."""
        counts = self.after if after else self.before
        return counts.get(decision, 0) / self.verdicts if self.verdicts else 0.0


class NearImage(_Model):
    """An image near a cut; `decision` is the one it has."""

    image_id: str
    category: str | None
    value: float
    cut: float
    decision: Decision
    scores: dict[str, float]
    topic: str
    partition: int
    offset: int
    entry: int | None


class Cut(_Model):
    """A threshold of the new policy, and the images nearest to it on both sides, the nearest first."""

    score: str
    effect: str
    under: list[NearImage]
    over: list[NearImage]


class ReviewedDecisions(_Model):
    """How a policy does by what people said: precision and recall of its blocks."""

    blocked: int
    to_review: int
    precision: float | None
    recall: float | None


class Reviewed(_Model):
    """Images that people decided about, by their latest word."""

    images: int
    blocked: int
    before: ReviewedDecisions
    after: ReviewedDecisions


class DiffReport(_Model):
    """What another policy would have changed."""

    policy_sha256: str
    since: str | None
    verdicts: int
    unreadable: int
    without_scores: Annotated[int, Field(description="blocked by a person, unseen: no policy can say")]
    total: CategoryDiff
    categories: list[CategoryDiff]
    cuts: list[Cut]
    reviewed: Reviewed | None


def print_text(report: DiffReport, console: Console) -> None:
    """The report for a terminal."""
    total = report.total
    console.print(
        f"{report.verdicts:,} verdicts, {total.changed:,} would have been another "
        f"({total.changed / max(1, total.verdicts):.2%}); policy {report.policy_sha256[:12]}",
        highlight=False,
    )
    table = Table("category", "verdicts", "changed", "blocked", "in review", "what changes", box=None)
    for row in (total, *report.categories[:_MOST_ROWS]):
        changes = ", ".join(f"{change.before} → {change.after} {change.count:,}" for change in row.changes)
        name = "all" if row is total else escape(row.category) or "(none)"
        rates = [
            f"{row.rate(decision, after=False):.2%} → {row.rate(decision, after=True):.2%}"
            for decision in ("block", "review")
        ]
        table.add_row(name, f"{row.verdicts:,}", f"{row.changed:,}", *rates, changes)
    console.print(table)
    if len(report.categories) > _MOST_ROWS:
        console.print(f"and {len(report.categories) - _MOST_ROWS} categories more: --format json has them")
    for cut in report.cuts:
        for side, images in (("under", cut.under), ("over", cut.over)):
            near = ", ".join(f"{escape(image.image_id)} {image.value:.4f}" for image in images[:4])
            console.print(f"{escape(cut.score)} {cut.effect}, {side}: {near or 'none'}", highlight=False)
    if report.reviewed is not None:
        _print_reviewed(report.reviewed, console)


def _print_reviewed(reviewed: Reviewed, console: Console) -> None:
    console.print(f"{reviewed.images:,} images reviewed by people, {reviewed.blocked:,} of them blocked")
    for name, of in (("before", reviewed.before), ("after", reviewed.after)):
        console.print(f"{name}: precision {share(of.precision)}, recall {share(of.recall)}", highlight=False)


def html(report: DiffReport, pictures: Mapping[str, str]) -> str:
    """The report as a page of one file; `pictures` are data URIs by image id."""
    return page(TEMPLATES, "diff.html.j2", report=report, pictures=pictures)
