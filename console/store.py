"""Puts rows into the database, forgets deleted images and what is older than the retention."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, tuple_

from console.database import Database, disagreement, forgotten, image, lease, place, step, verdict
from console.rows import Row, Rows, image_digest, queue_of
from console.trials import add_trials, drop_trials

# SQLite takes 32,766 variables in a statement.
_CHUNK = 500

Places = Mapping[tuple[str, int], int]


class Store:
    """Used by the reading thread; `places` and `retain` by anyone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def places(self) -> dict[tuple[str, int], int]:
        """The next offset to read, by topic and partition."""
        with self._database.transaction() as connection:
            return {(row.topic, row.partition): row.next_offset for row in connection.execute(select(place))}

    def add(self, rows: Rows, places: Places) -> list[Row]:
        """Add `rows` and note `places` in one transaction. What is there already stays as it is.

        Returns:
            The verdicts that were kept.

        """
        with self._database.transaction() as connection:
            self._forget(connection, rows.deletions)
            gone = self._gone(connection, rows)
            verdicts = [row for row in rows.verdicts if not _is_gone(row, gone)]
            steps = [row for row in rows.steps if not _is_gone_step(row, gone)]
            _insert(connection, verdict, verdicts)
            _insert(connection, step, steps)
            self._latest(connection, verdicts)
            kept = [row for row in rows.trials if not _has_gone(row["image_id"], gone)]
            add_trials(connection, rows.trials, kept)
            self._note(connection, places)
        return verdicts

    def retain(self, since_ms: int) -> int:
        """Drop what is older; returns how many verdicts."""
        dropped = 0
        with self._database.transaction() as connection:
            dropped = connection.execute(delete(verdict).where(verdict.c.decided_ms < since_ms)).rowcount
            connection.execute(delete(image).where(image.c.decided_ms < since_ms))
            connection.execute(delete(step).where(step.c.at_ms < since_ms))
            drop_trials(connection, since_ms)
            connection.execute(delete(forgotten).where(forgotten.c.at_ms < since_ms))
            connection.execute(delete(lease).where(lease.c.until_ms < since_ms))
        return dropped

    def _forget(self, connection: Connection, deletions: Sequence[Row]) -> None:
        for row in deletions:
            image_id, at = row["image_id"], (row["partition"], row["offset"])
            known = {name: row[name] for name in ("image_digest", "partition", "offset", "at_ms")}
            same = and_(
                forgotten.c.image_digest == row["image_digest"], forgotten.c.partition == row["partition"]
            )
            connection.execute(delete(forgotten).where(same, forgotten.c.offset <= row["offset"]))
            if connection.execute(select(forgotten.c.offset).where(same)).first() is None:
                connection.execute(insert(forgotten).values(known))
            earlier = and_(
                verdict.c.image_id == image_id,
                verdict.c.input_partition == at[0],
                verdict.c.input_offset < at[1],
            )
            connection.execute(delete(verdict).where(earlier))
            connection.execute(delete(step).where(step.c.image_id == image_id))
            connection.execute(delete(disagreement).where(disagreement.c.image_id == image_id))
            connection.execute(delete(image).where(image.c.image_id == image_id))
            connection.execute(delete(lease).where(lease.c.image_id == image_id))
            left = connection.execute(select(verdict).where(verdict.c.image_id == image_id)).mappings().all()
            self._latest(connection, [{**row, "margin": 9.0} for row in left])

    def _gone(self, connection: Connection, rows: Rows) -> dict[tuple[str, int], int]:
        """Of the images of `rows` that were deleted: the offset of the deletion, by digest and partition."""
        images = {row["image_id"] for row in (*rows.verdicts, *rows.steps, *rows.trials)}
        digests = {image_digest(name): name for name in images}
        found: dict[tuple[str, int], int] = {}
        for part in _chunks(list(digests)):
            query = select(forgotten).where(forgotten.c.image_digest.in_(part))
            for row in connection.execute(query):
                found[digests[row.image_digest], row.partition] = row.offset
        return found

    def _latest(self, connection: Connection, verdicts: Sequence[Row]) -> None:
        newest: dict[str, Row] = {}
        for row in verdicts:
            before = newest.get(row["image_id"])
            if before is None or _is_newer(row, before):
                newest[row["image_id"]] = row
        for part in _chunks(list(newest)):
            known = {
                str(row["image_id"]): dict(row)
                for row in connection.execute(select(image).where(image.c.image_id.in_(part))).mappings()
            }
            fresh = [
                newest[name] for name in part if name not in known or _is_newer(newest[name], known[name])
            ]
            names = [row["image_id"] for row in fresh]
            if not names:
                continue
            connection.execute(delete(image).where(image.c.image_id.in_(names)))
            connection.execute(delete(lease).where(lease.c.image_id.in_(names)))
            connection.execute(
                insert(image),
                [
                    {
                        **{name: row[name] for name in image.c.keys() if name != "queue"},  # noqa: SIM118
                        "queue": queue_of(row),
                    }
                    for row in fresh
                ],
            )

    def _note(self, connection: Connection, places: Places) -> None:
        for (topic, partition), offset in places.items():
            at = and_(place.c.topic == topic, place.c.partition == partition)
            connection.execute(delete(place).where(at))
            connection.execute(insert(place).values(topic=topic, partition=partition, next_offset=offset))


def _insert(connection: Connection, table: Any, rows: Sequence[Row]) -> None:
    """Insert what is not there: the same record read twice is one row."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key.columns]
    columns = list(table.c.keys())
    unique = {tuple(row[key] for key in keys): row for row in rows}
    for part in _chunks(list(unique)):
        query = select(*table.primary_key.columns).where(tuple_(*table.primary_key.columns).in_(part))
        there = {tuple(row) for row in connection.execute(query)}
        fresh = [{name: unique[key][name] for name in columns} for key in part if key not in there]
        if fresh:
            connection.execute(insert(table), fresh)


def _is_gone(row: Row, gone: Mapping[tuple[str, int], int]) -> bool:
    return bool(row["input_offset"] < gone.get((row["image_id"], row["input_partition"]), -1))


def _is_gone_step(row: Row, gone: Mapping[tuple[str, int], int]) -> bool:
    cause = row["cause"]
    if cause is None:  # the index's: it has no place of the input
        return _has_gone(row["image_id"], gone)
    return bool(cause[1] < gone.get((row["image_id"], cause[0]), -1))


def _has_gone(image_id: str, gone: Mapping[tuple[str, int], int]) -> bool:
    """Whether the image was ever deleted: without a place of the input, before and after are the same."""
    return any(name == image_id for name, _ in gone)


def _is_newer(row: Row, than: Row) -> bool:
    """By the log: a slow image may be decided after one that was uploaded later."""
    if row["partition"] == than["partition"]:
        return bool(row["offset"] > than["offset"])
    return (row["decided_ms"], row["partition"]) > (than["decided_ms"], than["partition"])


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[begin : begin + _CHUNK] for begin in range(0, len(items), _CHUNK))
