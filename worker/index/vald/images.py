"""What the cluster holds, and what it does not know of it: the images of each vector, and their attributes.

A SQLite database in the index directory. Vald proposes what may be near; what counts, and how far it is, is
told from here. A vector is an *object* under a name made of its own bytes, which is never changed: images of
equal vectors share it, and an object that is written twice, or to a cluster that has it, is the same one.
"""

import json
import queue
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter
from worker.errors import IndexDirectoryError
from worker.index.attributes import NOTHING_KNOWN, Attributes, microseconds
from worker.index.backend import Change, IndexIdentity

DATABASE = "vald.db"

_FORMAT = 1
_CHUNK = 1024
_BUSY_SECONDS = 60.0

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (number INTEGER PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE objects (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE orphans (object INTEGER PRIMARY KEY);
CREATE TABLE images (
    number INTEGER PRIMARY KEY, image_id TEXT NOT NULL UNIQUE, object INTEGER NOT NULL,
    category TEXT, listing_id TEXT, uploaded INTEGER, preferences TEXT NOT NULL,
    group_name TEXT, copy_vector BLOB
);
CREATE INDEX images_object ON images (object, image_id);
CREATE INDEX images_category ON images (category) WHERE category IS NOT NULL;
CREATE INDEX images_listing ON images (listing_id) WHERE listing_id IS NOT NULL;
CREATE INDEX images_uploaded ON images (uploaded) WHERE uploaded IS NOT NULL;
CREATE TABLE tags (tag TEXT NOT NULL, image INTEGER NOT NULL, PRIMARY KEY (tag, image)) WITHOUT ROWID;
CREATE INDEX tags_image ON tags (image);
"""


class Object(NamedTuple):
    """A vector, float32 [dim] of unit norm, and the name that the cluster has it under."""

    name: str
    vector: NDArray[np.float32]


class Images:
    """The database; `identity` is what its vectors are of. One thread at a time writes, any read.

    Raises IndexDirectoryError where it cannot be used (any call), or is of another space, dimension or topic.
    """

    def __init__(self, directory: Path, identity: IndexIdentity) -> None:
        self._path = directory / DATABASE
        self._identity = identity
        self._key = blake2b(identity.model_dump_json().encode(), digest_size=32).digest()
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        with self._connection() as database:
            self._prepare(database)
        self._objects = self._number("SELECT (SELECT count(*) FROM objects) - (SELECT count(*) FROM orphans)")

    def name(self, vector: NDArray[np.float32]) -> str:
        """The name of the object of `vector`: of another space it has another."""
        return blake2b(vector.astype("<f4").tobytes(), digest_size=16, key=self._key).hexdigest()

    def count(self) -> int:
        """How many images there are."""
        return self._number("SELECT count(*) FROM images")

    def objects(self) -> int:
        """How many different vectors they have. Does not block."""
        return self._objects

    def copies(self) -> int:
        """How many the cluster held when it was looked at last, replicas among them."""
        return self._number("SELECT value FROM about WHERE name = 'copies'")

    def as_of(self) -> float:
        """Unix time at which the log had nothing that is not here but changes since; 0: nothing is here."""
        with self._connection() as database:
            return float(database.execute("SELECT value FROM about WHERE name = 'as_of'").fetchone()[0])

    def offsets(self) -> dict[int, int]:
        """Partition -> offset of the next record."""
        with self._connection() as database:
            return dict(database.execute("SELECT number, next FROM positions"))

    def holds(self, image_id: str) -> bool:
        """Whether there is such an image."""
        return bool(self._number("SELECT count(*) FROM images WHERE image_id = ?", image_id))

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        """Its vector, float32 [dim] of unit norm; None if there is no such image."""
        with self._connection() as database:
            row = database.execute(
                "SELECT vector FROM images JOIN objects ON objects.number = object WHERE image_id = ?",
                (image_id,),
            ).fetchone()
        return None if row is None else _vector(row[0]).copy()

    def attributes(self, image_id: str) -> Attributes:
        """What is known of it; nothing of an image that is not there."""
        with self._connection() as database:
            row = database.execute(
                "SELECT number, category, listing_id, uploaded, preferences, group_name, copy_vector "
                "FROM images WHERE image_id = ?",
                (image_id,),
            ).fetchone()
            if row is None:
                return NOTHING_KNOWN
            number, category, listing_id, uploaded, preferences, group, copy = row
            tags = database.execute("SELECT tag FROM tags WHERE image = ?", (number,)).fetchall()
        return Attributes(
            category=category,
            listing_id=listing_id,
            tags=tuple(tag for (tag,) in tags),
            uploaded=uploaded,
            preferences=json.loads(preferences),
            group=group,
            copy_vector=None if copy is None else _vector(copy).copy(),
        )

    def known(self, names: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of those of `names` that are objects here, float32 [dim] each."""
        with self._connection() as database:
            found = database.execute(
                "SELECT name, vector FROM objects WHERE name IN (SELECT value FROM json_each(?))",
                (json.dumps(list(names)),),
            )
            return {name: _vector(blob) for name, blob in found}

    def living(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that are objects with images here."""
        with self._connection() as database:
            found = database.execute(
                "SELECT name FROM objects WHERE name IN (SELECT value FROM json_each(?)) "
                "AND number NOT IN (SELECT object FROM orphans)",
                (json.dumps(list(names)),),
            )
            return {name for (name,) in found}

    @contextmanager
    def members(self) -> Iterator["Members"]:
        """A reader of the images of objects."""
        with self._connection() as database:
            yield Members(database)

    def matching(self, where: SearchFilter, most: int) -> int:
        """How many images `where` lets in; it is not counted beyond `most`."""
        condition, values = _condition(where)
        return self._number(
            f"SELECT count(*) FROM (SELECT 1 FROM images WHERE {condition} LIMIT ?)",  # noqa: S608 - ours
            *values,
            most,
        )

    def each(self, where: SearchFilter | None) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """All images that `where` lets in, some at a time: ids, and vectors float32 [ids, dim]."""
        condition, values = _condition(where)
        with self._connection() as database:
            rows = database.execute(
                "SELECT image_id, vector FROM images JOIN objects ON objects.number = object "  # noqa: S608
                f"WHERE {condition}",
                values,
            )
            while part := rows.fetchmany(_CHUNK):
                yield [image_id for image_id, _ in part], np.stack([_vector(blob) for _, blob in part])

    def each_object(self) -> Iterator[list[Object]]:
        """All objects that have images, some at a time; what is written meanwhile may be among them."""
        last = 0
        while True:
            with self._connection() as database:
                part = database.execute(
                    "SELECT number, name, vector FROM objects WHERE number > ? "
                    "AND number NOT IN (SELECT object FROM orphans) ORDER BY number LIMIT ?",
                    (last, _CHUNK),
                ).fetchall()
            if not part:
                return
            last = part[-1][0]
            yield [Object(name, _vector(blob)) for _, name, blob in part]

    def newest(self, most: int) -> list[str]:
        """The names of the `most` objects that came last."""
        with self._connection() as database:
            rows = database.execute(
                "SELECT name FROM objects WHERE number NOT IN (SELECT object FROM orphans) "
                "ORDER BY number DESC LIMIT ?",
                (most,),
            )
            return [name for (name,) in rows]

    def orphans(self, most: int) -> list[str]:
        """The names of at most `most` objects that no image has any more."""
        with self._connection() as database:
            return [
                name
                for (name,) in database.execute(
                    "SELECT name FROM orphans JOIN objects ON objects.number = object LIMIT ?", (most,)
                )
            ]

    def apply(
        self,
        changes: Sequence[Change],
        offsets: Mapping[int, int],
        as_of: float,
        removed: Sequence[str],
        copies: int,
    ) -> None:
        """Take in `changes`, of different images, all before `offsets`, as of a time; all or none.

        The cluster has them, has the objects `removed` no more, and holds `copies`.
        """
        with self._connection() as database, database:
            database.execute("BEGIN IMMEDIATE")
            _remove_objects(database, removed)
            more = sum(self._apply_one(database, change) for change in changes)
            database.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", offsets.items())
            _tell(database, copies, as_of)
        self._objects += more

    def clear(self) -> None:
        """Forget every image and offset; the cluster still has their objects."""
        with self._connection() as database, database:
            database.execute("BEGIN IMMEDIATE")
            for table in ("images", "tags", "positions"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
            database.execute("INSERT OR IGNORE INTO orphans SELECT number FROM objects")
            database.execute("UPDATE about SET value = '0' WHERE name = 'as_of'")
        self._objects = 0

    def close(self) -> None:
        """Let go of the database."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _apply_one(self, database: sqlite3.Connection, change: Change) -> int:
        """Gives by how many there are more objects with images."""
        more = 0
        old = database.execute(
            "SELECT number, object FROM images WHERE image_id = ?", (change.image_id,)
        ).fetchone()
        if old is not None:
            database.execute("DELETE FROM tags WHERE image = ?", (old[0],))
            database.execute("DELETE FROM images WHERE number = ?", (old[0],))
        if change.vector is not None:
            more += self._add_image(database, change, change.vector)
        if old is not None:
            more -= database.execute(
                "INSERT OR IGNORE INTO orphans SELECT ?1 WHERE NOT EXISTS "
                "(SELECT 1 FROM images WHERE object = ?1)",
                (old[1],),
            ).rowcount
        return more

    def _add_image(self, database: sqlite3.Connection, change: Change, vector: NDArray[np.float32]) -> int:
        name, known = self.name(vector), change.attributes
        more = database.execute(
            "INSERT OR IGNORE INTO objects (name, vector) VALUES (?, ?)",
            (name, vector.astype("<f4").tobytes()),
        ).rowcount
        (number,) = database.execute("SELECT number FROM objects WHERE name = ?", (name,)).fetchone()
        more += database.execute("DELETE FROM orphans WHERE object = ?", (number,)).rowcount
        image = database.execute(
            "INSERT INTO images (image_id, object, category, listing_id, uploaded, preferences, "
            "group_name, copy_vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(change.image_id, number, known.category, known.listing_id, known.uploaded),
                *(json.dumps(dict(known.preferences)), known.group),
                None if known.copy_vector is None else known.copy_vector.astype("<f4").tobytes(),
            ),
        ).lastrowid
        database.executemany(
            "INSERT OR IGNORE INTO tags (tag, image) VALUES (?, ?)", [(tag, image) for tag in known.tags]
        )
        return more

    def _number(self, query: str, *values: object) -> int:
        with self._connection() as database:
            return int(database.execute(query, values).fetchone()[0])

    def _prepare(self, database: sqlite3.Connection) -> None:
        # What a power loss takes of the last transactions is read again from the log.
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._create(database)
        elif version != _FORMAT:
            raise IndexDirectoryError(
                f"{self._path} is of another release (format {version}): set index.directory to another one"
            )
        (held,) = database.execute("SELECT value FROM about WHERE name = 'identity'").fetchone()
        if held != self._identity.model_dump_json():
            raise IndexDirectoryError(
                f"{self._path} holds {held}, this index is to hold {self._identity.model_dump_json()}: "
                "set index.directory to another directory and index.name to another name"
            )

    def _create(self, database: sqlite3.Connection) -> None:
        with database:
            database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.executemany(
                "INSERT INTO about VALUES (?, ?)",
                [("identity", self._identity.model_dump_json()), ("copies", "0"), ("as_of", "0")],
            )
            database.execute(f"PRAGMA user_version = {_FORMAT}")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One that no other thread has at the time."""
        try:
            try:
                database = self._idle.get_nowait()
            except queue.Empty:
                database = sqlite3.connect(
                    self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
            try:
                yield database
            finally:
                self._idle.put(database)
        except sqlite3.Error as error:
            raise IndexDirectoryError(f"{self._path} cannot be used: {error}") from error


class Members:
    """Reads which images have an object."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def of(self, name: str, where: SearchFilter | None = None) -> Iterator[str]:
        """The ids of the images that have object `name` and that `where` lets in, in order, one by one."""
        condition, values = _condition(where)
        rows = self._database.execute(
            "SELECT image_id FROM images WHERE object = (SELECT number FROM objects WHERE name = ?) "  # noqa: S608
            f"AND {condition} ORDER BY image_id",
            (name, *values),
        )
        return (image_id for (image_id,) in rows)


def _vector(blob: bytes) -> NDArray[np.float32]:
    return np.frombuffer(blob, "<f4")


def _tell(database: sqlite3.Connection, copies: int, as_of: float) -> None:
    told = [(str(copies), "copies"), (str(as_of), "as_of")]
    database.executemany("UPDATE about SET value = ? WHERE name = ?", told)


def _remove_objects(database: sqlite3.Connection, names: Sequence[str]) -> None:
    named = json.dumps(names)
    chosen = "(SELECT number FROM objects WHERE name IN (SELECT value FROM json_each(?)))"
    database.execute(f"DELETE FROM orphans WHERE object IN {chosen}", (named,))  # noqa: S608 - ours
    database.execute("DELETE FROM objects WHERE name IN (SELECT value FROM json_each(?))", (named,))


def _condition(where: SearchFilter | None) -> tuple[str, list[object]]:
    """`where` as SQL over images; what is not known of an image is never asked for."""
    parts: list[str] = ["1"]
    values: list[object] = []
    if where is None:
        return parts[0], values
    for column, wanted in (("category", where.categories), ("listing_id", where.listing_ids)):
        if wanted:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    for tag in where.tags:
        parts.append("images.number IN (SELECT image FROM tags WHERE tag = ?)")
        values.append(tag)
    for comparison, time in ((">=", where.uploaded_from), ("<", where.uploaded_before)):
        if time is not None:
            parts.append(f"uploaded {comparison} ?")
            values.append(microseconds(time))
    return " AND ".join(parts), values
