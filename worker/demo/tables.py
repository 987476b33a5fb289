"""Tables of the report, computed from its entries."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from schemas.search import SearchResult
from worker.demo.edits import EDITS
from worker.demo.entries import EXPECTED, REJECT, Entry
from worker.demo.figures import percentile
from worker.demo.uploads import Kind


@dataclass(frozen=True)
class ConfusionRow:
    """What became of all uploads of a kind; `expected` is None where nobody knows what they are."""

    kind: str
    origin: str
    total: int
    counts: dict[str, int]
    expected: str | None

    @property
    def share(self) -> float:
        """The share with the expected outcome."""
        return self.counts.get(self.expected or "", 0) / max(self.total, 1)


def confusion(entries: Sequence[Entry], own_images: bool) -> list[ConfusionRow]:
    """One row a kind of image. The user's own photos may be anything: nothing is expected of them."""
    origins = {
        Kind.PHOTO: "real",
        Kind.COPY: "edited",
        Kind.NOTICE: "rendered",
        Kind.CODE: "rendered",
        Kind.BROKEN: "made",
    }
    rows = []
    for kind, expected in EXPECTED.items():
        outcomes = Counter(entry.outcome for entry in entries if entry.upload.kind == kind)
        if not outcomes:
            continue
        unknown = own_images and kind in {Kind.PHOTO, Kind.COPY}
        name = "your image" if own_images and kind == Kind.PHOTO else str(kind)
        rows.append(
            ConfusionRow(name, origins[kind], outcomes.total(), dict(outcomes), None if unknown else expected)
        )
    return rows


def outcome_columns(entries: Sequence[Entry]) -> list[str]:
    """The outcomes that a confusion table needs a column for."""
    seen = {entry.outcome for entry in entries}
    return [name for name in ("accept", "review", "block", REJECT) if name != "review" or name in seen]


@dataclass(frozen=True)
class CopyRow:
    """Of the copies of one edit: how many are searchable, and how many were tied to their family.

    `tied` by a near-duplicate in the index's acknowledgement, of the copy or of what came after it;
    `nearest` by a search, whose first result is the original or another copy of it.
    """

    edit: str
    made: int
    searchable: int
    tied: int
    nearest: int
    distance: float | None


@dataclass(frozen=True)
class Pair:
    """Two images that the index calls near-duplicates; `same` if one is, or both are, edits of one photo."""

    first: Entry
    second: Entry
    distance: float
    same: bool


def near_duplicate_pairs(entries: Sequence[Entry]) -> list[Pair]:
    """Every pair that the index told of, once, nearest first."""
    by_id = {entry.upload.image_id: entry for entry in entries if entry.update is not None}
    pairs: dict[frozenset[str], Pair] = {}
    for entry in by_id.values():
        assert entry.update is not None
        for near in entry.update.near_duplicates:
            other = by_id.get(near.image_id)
            if other is not None:
                key = frozenset((entry.upload.image_id, near.image_id))
                pairs[key] = Pair(entry, other, near.distance, entry.group == other.group)
    return sorted(pairs.values(), key=lambda pair: pair.distance)


def of_every_edit(pairs: Sequence[Pair]) -> list[Pair]:
    """`pairs` in rounds: of each round one of every edit, so that the first few show them all."""
    seen: Counter[str] = Counter()
    rounds = []
    for pair in pairs:
        edit = pair.first.upload.note or pair.second.upload.note
        rounds.append((seen[edit], pair))
        seen[edit] += 1
    return [pair for _, pair in sorted(rounds, key=lambda item: item[0])]


def copies(
    entries: Sequence[Entry], pairs: Sequence[Pair], neighbours: dict[str, list[SearchResult]]
) -> list[CopyRow]:
    """One row an edit, in the order in which they are made."""
    groups = {entry.upload.image_id: entry.group for entry in entries}
    tied = {each.upload.image_id for pair in pairs if pair.same for each in (pair.first, pair.second)}
    rows = []
    for edit in EDITS:
        made = [entry for entry in entries if entry.upload.kind == Kind.COPY and entry.upload.note == edit]
        found = [entry for entry in made if entry.upload.image_id in neighbours]
        nearest = [neighbours[entry.upload.image_id][:1] for entry in found]
        close = [
            groups.get(first[0].image_id) == entry.group
            for entry, first in zip(found, nearest, strict=True)
            if first
        ]
        rows.append(
            CopyRow(
                edit,
                len(made),
                len(found),
                sum(entry.upload.image_id in tied for entry in found),
                sum(close),
                _median_distance(found, neighbours),
            )
        )
    return [row for row in rows if row.made]


def _median_distance(found: Sequence[Entry], neighbours: dict[str, list[SearchResult]]) -> float | None:
    """Of the copies to their originals, where a search gives them."""
    distances = [
        result.distance
        for entry in found
        for result in neighbours[entry.upload.image_id]
        if result.image_id == entry.upload.original
    ]
    return median(distances) if distances else None


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the upload's record."""

    what: str
    count: int
    p50: float
    p90: float
    p99: float
    longest: float


def latencies(entries: Sequence[Entry]) -> list[Latency]:
    """From the upload to its verdict in the log, and to the image being searchable."""
    rows = {
        "to the verdict": [entry.verdict_ms for entry in entries if entry.verdict_ms is not None],
        "to being searchable": [entry.searchable_ms for entry in entries if entry.searchable_ms is not None],
    }
    return [
        Latency(what, len(ms), *(percentile(ms, share) for share in (0.5, 0.9, 0.99, 1.0)))
        for what, ms in rows.items()
        if ms
    ]
