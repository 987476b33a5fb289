"""The queue of images that people shall look at, the most uncertain first, each leased to one of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from console.database import Database, image, lease, step, verdict
from console.rows import IN_REVIEW, NO_QUEUE
from schemas.events import ImageModerated, Word
from worker.errors import StageError

# A word whose verdict has not come after so long has met a worker that is down: the image is shown again.
_WORD_SECONDS = 300.0


@dataclass(frozen=True)
class Shown:
    """A verdict as pages show it. `place` names it in URLs."""

    event: ImageModerated
    place: str
    decided_ms: int
    queue: int = NO_QUEUE
    margin: float = 0.0
    word: Word | None = None

    @property
    def scores(self) -> Sequence[tuple[str, float]]:
        """By name, the highest first."""
        return sorted(self.event.scores.items(), key=lambda score: -score[1])


class Queue:
    """Reads for the pages, and the leases. Thread-safe."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    def waiting(self) -> dict[int, int]:
        """How many images wait, by queue."""
        query = select(image.c.queue, func.count()).where(image.c.queue > NO_QUEUE).group_by(image.c.queue)
        with self._database.transaction() as connection:
            return {int(row[0]): int(row[1]) for row in connection.execute(query)}

    def oldest_in_review(self) -> int | None:
        """When the oldest image in review was judged, in Unix milliseconds; None: there is none."""
        query = select(func.min(image.c.decided_ms)).where(image.c.queue == IN_REVIEW)
        with self._database.transaction() as connection:
            oldest = connection.execute(query).scalar()
        return None if oldest is None else int(oldest)

    def take(self, reviewer: str, count: int = 1, *, after: str | None = None) -> list[Shown]:
        """The next images for `reviewer`, leased to them: those in review first, the nearest to a cut first.

        `after` is the place of one that was passed over.
        """
        now = int(time.time() * 1000)
        until = now + int(self._lease_seconds * 1000)
        with self._database.transaction() as connection:
            free = or_(
                lease.c.image_id.is_(None),
                lease.c.until_ms < now,
                and_(lease.c.reviewer == reviewer, lease.c.word.is_(None)),
            )
            query = (
                _shown()
                .add_columns(lease.c.reviewer.label("leased_to"))
                .outerjoin(lease, lease.c.image_id == image.c.image_id)
                .where(image.c.queue > NO_QUEUE, free)
                .order_by(image.c.queue, image.c.margin, image.c.image_id)
                .limit(count + 1)
            )
            rows = [dict(row) for row in connection.execute(query).mappings()]
            if after is not None:
                rows = [row for row in rows if f"{row['partition']}-{row['offset']}" != after] or rows
            rows = rows[:count]
        return [shown(row) for row in rows if self._lease(row["image_id"], reviewer, until, now)]

    def skip(self, image_id: str, reviewer: str) -> None:
        """`reviewer` does not decide about it now: nobody is shown it for the lease's time."""
        until = int((time.time() + self._lease_seconds) * 1000)
        self._set(image_id, f"{reviewer} (later)", until, None)

    def note_word(self, image_id: str, reviewer: str, word: Word) -> None:
        """A word was sent: the image is not shown until its verdict has come."""
        self._set(image_id, reviewer, int((time.time() + _WORD_SECONDS) * 1000), word)

    def _set(self, image_id: str, reviewer: str, until: int, word: Word | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(delete(lease).where(lease.c.image_id == image_id))
            connection.execute(
                insert(lease).values(image_id=image_id, reviewer=reviewer, until_ms=until, word=word)
            )

    def _lease(self, image_id: str, reviewer: str, until: int, now: int) -> bool:
        """Whether the image is `reviewer`'s; another may have been faster."""
        try:
            with self._database.transaction() as connection:
                mine = and_(lease.c.image_id == image_id, lease.c.word.is_(None))
                connection.execute(
                    delete(lease).where(
                        or_(
                            and_(mine, lease.c.reviewer == reviewer),
                            and_(lease.c.image_id == image_id, lease.c.until_ms < now),
                        )
                    )
                )
                connection.execute(
                    insert(lease).values(image_id=image_id, reviewer=reviewer, until_ms=until, word=None)
                )
        except StageError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    def at(self, place: str) -> Shown | None:
        """The verdict at a place."""
        try:
            partition, offset = map(int, place.split("-"))
        except ValueError:
            return None
        query = _verdicts().where(verdict.c.partition == partition, verdict.c.offset == offset)
        return self._first(query)

    def latest(self, image_id: str) -> Shown | None:
        """The verdict that holds for an image."""
        return self._first(_shown().where(image.c.image_id == image_id))

    def _first(self, query: Select[Any]) -> Shown | None:
        with self._database.transaction() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return None if row is None else shown(dict(row))

    def newest(self, count: int) -> list[Shown]:
        """The latest verdicts, the newest first."""
        query = _verdicts().order_by(verdict.c.decided_ms.desc(), verdict.c.offset.desc()).limit(count)
        with self._database.transaction() as connection:
            return [shown(dict(row)) for row in connection.execute(query).mappings()]

    def rates(self, seconds: float) -> dict[str, int]:
        """Verdicts of the last `seconds` by decision."""
        since = int((time.time() - seconds) * 1000)
        by = case((verdict.c.reviewer.is_(None), verdict.c.decision), else_="person")
        query = select(by, func.count()).where(verdict.c.decided_ms >= since).group_by(by)
        with self._database.transaction() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def of_images(self, image_ids: Sequence[str]) -> dict[str, Shown]:
        """The verdicts that hold for some images."""
        query = _shown().where(image.c.image_id.in_(image_ids))
        with self._database.transaction() as connection:
            return {row["image_id"]: shown(dict(row)) for row in connection.execute(query).mappings()}

    def of_places(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Shown]:
        """Verdicts by their places."""
        found = {}
        with self._database.transaction() as connection:
            for partition, offset in places:
                at = and_(verdict.c.partition == partition, verdict.c.offset == offset)
                row = connection.execute(_verdicts().where(at)).mappings().first()
                if row is not None:
                    found[partition, offset] = shown(dict(row))
        return found

    def history(self, image_id: str, most: int = 500) -> list[Mapping[str, Any]]:
        """What the log says of an image, in the order of time."""
        query = (
            select(step)
            .where(step.c.image_id == image_id)
            .order_by(step.c.at_ms, step.c.topic, step.c.offset)
            .limit(most)
        )
        with self._database.transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def verdicts_of(self, image_id: str, most: int = 50) -> list[Shown]:
        """Every verdict on an image, the newest first."""
        query = _verdicts().where(verdict.c.image_id == image_id)
        query = query.order_by(verdict.c.decided_ms.desc(), verdict.c.offset.desc()).limit(most)
        with self._database.transaction() as connection:
            return [shown(dict(row)) for row in connection.execute(query).mappings()]


def _verdicts() -> Select[Any]:
    return select(
        verdict.c.body, verdict.c.image_id, verdict.c.partition, verdict.c.offset, verdict.c.decided_ms
    )


def _shown() -> Select[Any]:
    same = and_(verdict.c.partition == image.c.partition, verdict.c.offset == image.c.offset)
    return _verdicts().add_columns(image.c.queue, image.c.margin).select_from(image).join(verdict, same)


def shown(row: Mapping[str, Any]) -> Shown:
    """A row as pages show it."""
    return Shown(
        ImageModerated.read(row["body"]),
        f"{row['partition']}-{row['offset']}",
        row["decided_ms"],
        row.get("queue", NO_QUEUE),
        row.get("margin", 0.0),
    )


__all__ = ["IN_REVIEW", "Queue", "Shown"]
