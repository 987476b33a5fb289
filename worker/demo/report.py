"""The report: one HTML file that shows what was judged, how, and how fast."""

import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from schemas.bundle import BundleManifest
from schemas.policy import Policy
from schemas.search import IndexState, SearchResult
from worker.demo.chart import latency_chart
from worker.demo.entries import MISSING, REMOVE, Entry, entries_of
from worker.demo.figures import model_speed, stage_times
from worker.demo.observe import Seen
from worker.demo.publish import Published
from worker.demo.tables import (
    confusion,
    copies,
    latencies,
    near_duplicate_pairs,
    of_every_edit,
    outcome_columns,
)
from worker.demo.thumbnails import thumbnails
from worker.demo.uploads import Kind

# Shown at once; the rest is behind a fold.
_FIRST_CARDS = 25
_FIRST_MISTAKES = 10
_FIRST_PAIRS = 12
_NEIGHBOURS = 4


@dataclass(frozen=True)
class Run:
    """All that a report is made from. `seconds` is from the first upload to the last outcome.

    `pages` is the first of the console's pages, where they were saved beside the report.
    """

    manifest: BundleManifest
    policy: Policy
    provider: str
    own_images: Path | None
    published: Sequence[Published]
    seen: Seen
    neighbours: dict[str, list[SearchResult]]
    metrics: str
    index: IndexState
    began_at: datetime
    seconds: float
    problems: Sequence[str]
    pages: Path | None = None


def write_report(file: Path, run: Run) -> None:
    """Write the report of `run` to `file`."""
    environment = Environment(
        loader=PackageLoader("worker.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(report_values(run))
    file.write_text(page, encoding="utf-8")


def report_values(run: Run) -> dict[str, Any]:
    """What the template takes, by name."""
    entries = entries_of(run.published, run.seen)
    images = [entry for entry in entries if entry.upload.kind not in {Kind.REPEAT, Kind.DELETION}]
    accepted = _by_preference([entry for entry in images if entry.outcome == "accept"])
    pairs = near_duplicate_pairs(images)
    pictures = {entry.upload.image_id: entry.upload.picture for entry in images if entry.upload.picture}
    uris = thumbnails(pictures)
    return {
        "run": run,
        "version": version("mekiki"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "bundle_id": next((verdict.bundle_id for verdict in run.seen.verdicts.values()), run.manifest.name),
        "counts": Counter(entry.outcome for entry in entries if entry.upload.kind != Kind.REPEAT),
        "forms": Counter(entry.upload.form for entry in entries if entry.upload.form),
        "kinds": Counter(str(entry.upload.kind) for entry in entries),
        "columns": outcome_columns(images),
        "confusion": confusion(images, run.own_images is not None),
        "mistakes": sorted(
            (entry for entry in images if not entry.as_expected and _is_known(entry.upload.kind, run)),
            key=lambda entry: list(Kind).index(entry.upload.kind),
        ),
        "blocked": _by_score([entry for entry in images if entry.outcome == "block"]),
        "review": _by_score([entry for entry in images if entry.outcome == "review"]),
        "accepted": [entry for entry in accepted if entry.upload.kind != Kind.COPY],
        "accepted_copies": [entry for entry in accepted if entry.upload.kind == Kind.COPY],
        "rejected": sorted(
            (entry for entry in entries if entry.rejection),
            key=lambda entry: (_reason(entry), entry.upload.note),
        ),
        "removed": [entry for entry in entries if entry.outcome == REMOVE],
        "missing": [entry for entry in entries if entry.outcome == MISSING],
        "pairs": {same: [pair for pair in pairs if pair.same is same] for same in (True, False)},
        "shown_pairs": of_every_edit([pair for pair in pairs if pair.same])[:_FIRST_PAIRS],
        "copies": copies(images, pairs, run.neighbours),
        "neighbours": {image_id: found[:_NEIGHBOURS] for image_id, found in run.neighbours.items()},
        "latencies": latencies(entries),
        "chart": latency_chart(entries),
        "stages": stage_times(run.metrics),
        "speed": model_speed(run.metrics),
        "thresholds": run.policy.thresholds,
        "uris": uris,
        "numbers": {image_id: number for number, image_id in enumerate(uris)},
        "first_cards": _FIRST_CARDS,
        "first_mistakes": _FIRST_MISTAKES,
        "first_pairs": _FIRST_PAIRS,
    }


def _is_known(kind: Kind, run: Run) -> bool:
    """Whether anybody knows what the image is: of the user's own ones nobody does."""
    return run.own_images is None or kind not in {Kind.PHOTO, Kind.COPY}


def _by_preference(entries: list[Entry]) -> list[Entry]:
    """The best liked first, as a shop would show them."""
    return sorted(entries, key=lambda entry: -(entry.preference or 0.0))


def _by_score(entries: list[Entry]) -> list[Entry]:
    """The surest first: the score that is highest over its threshold."""
    return sorted(entries, key=lambda entry: -max(reason.value for reason in entry.reasons))


def _reason(entry: Entry) -> str:
    return entry.rejection.reason if entry.rejection else ""
