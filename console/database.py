"""The console's own database: all that it shows, read from the topics, from which it can be built again.

SQLite by default, PostgreSQL by one setting. Only `lease` is not in the log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import ConfigurationError, StageError

metadata = MetaData()

# Every verdict, by its place on the moderated topic. Times are Unix milliseconds.
verdict = Table(
    "verdict",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("image_id", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("decision", String(8), nullable=False),
    Column("policy_decision", String(8), nullable=False),
    Column("reviewer", Text),
    Column("category", Text),
    Column("input_partition", Integer, nullable=False),
    Column("input_offset", BigInteger, nullable=False),
    Column("scores", Text, nullable=False),  # JSON, by name
    Column("body", Text, nullable=False),  # the event
    Index("verdict_image", "image_id"),
    Index("verdict_time", "decided_ms"),
)

# The latest verdict on each image, and what became of it.
image = Table(
    "image",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("partition", Integer, nullable=False),  # of its verdict
    Column("offset", BigInteger, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("decision", String(8), nullable=False),
    Column("reviewer", Text),
    Column("queue", Integer, nullable=False),  # 0: no person is needed, 1: in review, 2: near a cut
    Column("margin", Float, nullable=False),  # distance to the nearest cut
    Index("image_queue", "queue", "margin"),
    Index("image_place", "partition", "offset"),
)

# What every record says of an image: a line of its history.
step = Table(
    "step",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
    Column("image_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Index("step_image", "image_id"),
    Index("step_time", "at_ms"),
)

# Images that their owners deleted, by the digest of their id: what comes of earlier events is not kept.
forgotten = Table(
    "forgotten",
    metadata,
    Column("image_digest", String(64), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),  # of the deletion
    Column("offset", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# What was tried: a bundle with its policy as a shadow beside another with its own, by a digest of the four.
trial = Table(
    "trial",
    metadata,
    Column("trial", String(64), primary_key=True),
    Column("served_bundle", Text, nullable=False),
    Column("served_policy", String(64), nullable=False),
    Column("shadow_bundle", Text, nullable=False),
    Column("shadow_policy", String(64), nullable=False),
)

# Images of a trial, by both decisions ("accept|block"), and its scores by direction ("text|laxer").
trial_count = Table(
    "trial_count",
    metadata,
    Column("trial", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # of Unix time
    Column("kind", String(16), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# The images on which both disagree.
disagreement = Table(
    "disagreement",
    metadata,
    Column("event_id", String(36), primary_key=True),
    Column("trial", String(64), nullable=False),
    Column("image_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("apart", Float, nullable=False),
    Column("body", Text, nullable=False),  # the event
    Index("disagreement_apart", "trial", "apart"),
    Index("disagreement_image", "image_id"),
    Index("disagreement_time", "at_ms"),
)

# The next offset to read, by topic and partition, in the same transaction as what was read.
place = Table(
    "place",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)

# Who looks at an image now, or has just decided about it.
lease = Table(
    "lease",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("reviewer", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("word", String(8)),  # sent, its verdict is on the way
)

REBUILT = (verdict, image, step, forgotten, trial, trial_count, disagreement, place)


class Database:
    """Used from many threads. `close` it.

    Raises:
        ConfigurationError: `url` names no database that can be opened.

    """

    def __init__(self, url: str) -> None:
        try:
            self.engine: Engine = create_engine(url, pool_pre_ping=True)
            if self.engine.dialect.name == "sqlite":
                event.listen(self.engine, "connect", _prepare_sqlite)
            metadata.create_all(self.engine)
        except (SQLAlchemyError, ImportError) as error:
            raise ConfigurationError(f"console.database cannot be opened: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing.

        Raises:
            StageError: the database failed.

        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StageError(f"the console's database failed: {error}") from error

    def is_there(self) -> bool:
        """Whether it answers."""
        try:
            with self.transaction() as connection:
                connection.execute(text("select 1"))
        except StageError:
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # Readers do not wait for the writer; what a power cut takes is read from the topics again.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "temp_store=MEMORY"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()
