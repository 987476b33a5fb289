"""Trials: what a bundle that is tried as a shadow would have decided, as counts and as images."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, and_, delete, func, insert, select, update

from console.database import Database, disagreement, trial, trial_count
from console.text import printable
from schemas.events import ImageShadowed
from schemas.policy import disagreements

_DAY_MS = 86_400_000
_DECISIONS, _SCORE = "decisions", "score"
_TRIALS, _FURTHEST = 3, 12

Row = dict[str, Any]


def trial_row(value: bytes | None, at_ms: int) -> Row | None:
    """An event of the shadowed topic as the rows are made of it; None where it cannot be read."""
    try:
        event = ImageShadowed.read(value)
    except ValidationError:
        return None
    served, shadow = event.served, event.shadow
    named = {
        "served_bundle": served.bundle_id,
        "served_policy": served.policy_sha256,
        "shadow_bundle": shadow.bundle_id,
        "shadow_policy": shadow.policy_sha256,
    }
    changes = [f"{score}|{direction}" for score, direction in disagreements(served.reasons, shadow.reasons)]
    return {
        **named,
        "trial": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        "day": at_ms // _DAY_MS,
        "counted": [
            (_DECISIONS, f"{served.decision}|{shadow.decision}"),
            *((_SCORE, name) for name in changes),
        ],
        "event_id": str(event.event_id),
        "image_id": printable(event.image_id),
        "at_ms": at_ms,
        "apart": event.apart,
        "body": printable((value or b"").decode()),
    }


def add_trials(connection: Connection, rows: Sequence[Row], kept: Sequence[Row]) -> None:
    """Count `rows`, and keep those of `kept` that disagree. Counts outlive the images."""
    counts: Counter[tuple[str, int, str, str]] = Counter()
    for row in rows:
        counts.update((row["trial"], row["day"], kind, name) for kind, name in row["counted"])
    _insert_new(connection, trial, {row["trial"]: row for row in rows}, trial.c.trial)
    for (digest, day, kind, name), count in counts.items():
        of = and_(
            trial_count.c.trial == digest,
            trial_count.c.day == day,
            trial_count.c.kind == kind,
            trial_count.c.name == name,
        )
        more = update(trial_count).where(of).values(count=trial_count.c.count + count)
        if not connection.execute(more).rowcount:
            connection.execute(
                insert(trial_count).values(trial=digest, day=day, kind=kind, name=name, count=count)
            )
    apart = {row["event_id"]: row for row in kept if row["apart"] > 0}
    _insert_new(connection, disagreement, apart, disagreement.c.event_id)


def _insert_new(connection: Connection, table: Any, rows: Mapping[str, Row], key: Any) -> None:
    if not rows:
        return
    there = set(connection.execute(select(key).where(key.in_(list(rows)))).scalars())
    fresh = [{name: row[name] for name in table.c.keys()} for at, row in rows.items() if at not in there]  # noqa: SIM118
    if fresh:
        connection.execute(insert(table), fresh)


def drop_trials(connection: Connection, since_ms: int) -> None:
    """Drop what is older, by days."""
    connection.execute(delete(disagreement).where(disagreement.c.at_ms < since_ms))
    connection.execute(delete(trial_count).where(trial_count.c.day < since_ms // _DAY_MS))
    left = select(trial_count.c.trial)
    connection.execute(delete(trial).where(trial.c.trial.not_in(left)))


@dataclass(frozen=True)
class Trial:
    """One bundle beside another: images by both decisions, scores by direction, the images furthest apart."""

    served_bundle: str
    shadow_bundle: str
    decisions: Mapping[tuple[str, str], int]
    scores: Mapping[str, Mapping[str, int]]
    furthest: Sequence[ImageShadowed] = field(default_factory=tuple)

    @property
    def images(self) -> int:
        """That were tried."""
        return sum(self.decisions.values())

    @property
    def changes(self) -> Mapping[tuple[str, str], int]:
        """Images that would have been decided otherwise, the most frequent change first."""
        found = [(pair, count) for pair, count in self.decisions.items() if pair[0] != pair[1]]
        return dict(sorted(found, key=lambda each: -each[1]))


class Trials:
    """Reads for the pages. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self) -> list[Trial]:
        """The last trials, the newest first."""
        newest = (
            select(trial, func.max(trial_count.c.day).label("last"))
            .join(trial_count, trial_count.c.trial == trial.c.trial)
            .group_by(*trial.c)
            .order_by(func.max(trial_count.c.day).desc(), trial.c.trial)
            .limit(_TRIALS)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(newest).mappings().all()
            return [_trial(connection, dict(row)) for row in rows]


def _trial(connection: Connection, row: Row) -> Trial:
    counted = (
        select(trial_count.c.kind, trial_count.c.name, func.sum(trial_count.c.count))
        .where(trial_count.c.trial == row["trial"])
        .group_by(trial_count.c.kind, trial_count.c.name)
    )
    furthest = (
        select(disagreement.c.body)
        .where(disagreement.c.trial == row["trial"])
        .order_by(disagreement.c.apart.desc(), disagreement.c.event_id)
        .limit(_FURTHEST)
    )
    decisions: dict[tuple[str, str], int] = {}
    scores: dict[str, dict[str, int]] = {}
    for kind, name, count in connection.execute(counted):
        first, _, last = name.rpartition("|")
        if kind == _DECISIONS:
            decisions[first, last] = int(count)
        else:
            scores.setdefault(first, {"stricter": 0, "laxer": 0})[last] = int(count)
    bodies: Iterable[str] = connection.execute(furthest).scalars()
    return Trial(
        row["served_bundle"],
        row["shadow_bundle"],
        decisions,
        dict(sorted(scores.items())),
        [ImageShadowed.read(body) for body in bodies],
    )
