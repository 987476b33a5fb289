"""Kafka clients, built from the settings in one place, and records as the stages see them."""

import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import methodcaller
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient

from worker.errors import BrokerError, ConfigurationError, Rejection
from worker.settings import KafkaSettings
from worker.shown import masked_urls
from worker.stream.registry import create_registry, is_wire_format

logger = logging.getLogger(__name__)

_ERROR_PAUSE_SECONDS = 10.0

Headers = tuple[tuple[str, bytes | None], ...]

# How long a fetch may wait, and how much is fetched ahead: ours are preferences, and an operator's win.
_WAIT = "fetch.wait.max.ms"
_PREFERENCES = {_WAIT, "queued.min.messages", "queued.max.messages.kbytes"}

# Stands in place of a record's headers when one of their names is not UTF-8: the client cannot read any then.
UNREADABLE_HEADERS = "mekiki.unreadable_headers"

_SECRET_KEY = re.compile(
    r"password|secret|\.key\b|\.pem$|token(?!\.endpoint)|jaas|oauthbearer\.config", re.IGNORECASE
)


@dataclass(frozen=True)
class Parking:
    """How an event was parked: the image and the time that it names, how often, since when, until when.

    `type` is the event's; `since_ms` and `due_ms` are Unix times in milliseconds.
    """

    image_id: str
    type: str
    time: datetime
    attempts: int
    since_ms: int
    due_ms: int


@dataclass(frozen=True)
class Processing:
    """What becomes of a record, as a span of OpenTelemetry, and its name in a trace: see `spans.py`.

    `parent` and `state` are what outcomes carry as `traceparent` and `tracestate`.
    """

    span: Any
    parent: bytes
    state: bytes


@dataclass(frozen=True)
class InputRecord:
    """A consumed Kafka record. `timestamp_ms` is Unix time in milliseconds, by the topic's own clock.

    One of several events of a record is a record of its own, at the same place: `entry` counts them from 0,
    and `value` holds it alone. None: the record holds one event. With `parking` it was parked since, and came
    back; its place is still that in the log of uploads. `processing` is there where spans are collected.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    entry: int | None = None
    parking: Parking | None = None
    processing: Processing | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.value or b"")


@dataclass(frozen=True)
class OutputRecord:
    """A Kafka record to produce, at the time of producing; no value is a tombstone.

    Without a `partition` the key decides.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int = -1

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


@dataclass(frozen=True)
class Undelivered:
    """A record that the broker, or the client before it, did not take."""

    error: KafkaError
    record: OutputRecord


def input_record(message: Message) -> InputRecord:
    """A consumed message without error, as an InputRecord."""
    return InputRecord(
        topic=cast(str, message.topic()),
        partition=cast(int, message.partition()),
        offset=cast(int, message.offset()),
        key=message.key(),
        value=message.value(),
        headers=_headers(message),
        timestamp_ms=message.timestamp()[1],
    )


# confluent-kafka returns from headers() with the decoder's error pending. Called directly, code that has run
# often (CPython specialises it) does not look for that, and the error comes up somewhere else.
_read_headers = methodcaller("headers")


def _headers(message: Message) -> Headers:
    try:
        return cast(Headers, tuple(_read_headers(message) or ()))
    except (SystemError, UnicodeDecodeError) as error:
        return ((UNREADABLE_HEADERS, str(error.__cause__ or error).encode()),)


def client_properties(settings: KafkaSettings) -> dict[str, str]:
    """librdkafka properties that every client gets.

    Raises:
        ConfigurationError: `kafka.properties_file` cannot be read, or a line of it is no key=value.

    """
    properties = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "mekiki",
        **settings.properties,
    }
    if settings.properties_file is None:
        return properties
    try:
        lines = settings.properties_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"kafka.properties_file cannot be read: {error}") from error
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise ConfigurationError(f"{settings.properties_file}:{number}: write key=value")
        properties[key.strip()] = value.strip()
    return properties


def masked(properties: dict[str, str]) -> dict[str, str]:
    """`properties` to be shown to a person: the values of secrets are masked."""
    return {
        key: "********" if _SECRET_KEY.search(key) else masked_urls(value)
        for key, value in properties.items()
    }


class ClientErrors:
    """librdkafka's error callback. It recovers by itself: one line for each kind of error in a while.

    A broker that is away gives several errors a second.
    """

    def __init__(self) -> None:
        self._told: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Log `error`, unless one of its kind was logged a moment ago."""
        now = time.monotonic()
        if now - self._told.get(error.code(), -math.inf) >= _ERROR_PAUSE_SECONDS:
            self._told[error.code()] = now
            logger.warning("kafka: %s", error)


def _callbacks() -> dict[str, Any]:
    return {"error_cb": ClientErrors(), "logger": logging.getLogger("librdkafka")}


class PlainConsumer(Consumer):
    """A consumer that gives values in the wire format of a schema registry as JSON.

    What cannot be read so stays as it is: whoever reads it says what is wrong.
    """

    def __init__(self, properties: dict[str, Any], plain: Callable[[bytes], bytes]) -> None:
        super().__init__(properties)
        self._plain = plain

    def poll(self, *arguments: Any, **more: Any) -> Message | None:
        """See Consumer."""
        message = super().poll(*arguments, **more)
        return None if message is None else self._read(message)

    def consume(self, *arguments: Any, **more: Any) -> list[Message]:
        """See Consumer."""
        return [self._read(message) for message in super().consume(*arguments, **more)]

    def _read(self, message: Message) -> Message:
        value = None if message.error() else message.value()
        if is_wire_format(value):
            with suppress(Rejection):
                message.set_value(self._plain(cast(bytes, value)))
        return message


def create_consumer(
    settings: KafkaSettings, properties: Mapping[str, str | int | bool], *, as_they_are: bool = False
) -> Consumer:
    """A consumer that reads committed records only and commits nothing by itself.

    Where there is a schema registry, values of its wire format come as JSON, unless `as_they_are`.

    Raises:
        ConfigurationError: librdkafka refuses a property, or it is one that mekiki sets itself.

    """
    merged: dict[str, Any] = {
        **client_properties(settings),
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        # A topic that was made again, or has new partitions, is noticed in seconds, not in 5 minutes.
        "topic.metadata.refresh.interval.ms": 10_000,
        **properties,
        **settings.consumer,
    }
    ours = {*properties, "enable.auto.commit", "enable.auto.offset.store"} - _PREFERENCES
    _refuse_ours("kafka.consumer", settings.consumer, ours)
    if merged.get("group.protocol") == "consumer":  # KIP-848: the broker assigns
        del merged["partition.assignment.strategy"]
    registry = None if as_they_are else create_registry(settings.schema_registry, settings.request_timeout)
    try:
        if registry is not None:
            return PlainConsumer({**merged, **_callbacks()}, registry.plain)
        return Consumer({**merged, **_callbacks()})
    except Exception as error:
        raise ConfigurationError(f"the Kafka consumer's properties are refused: {error}") from error


def to_the_end(group: str) -> dict[str, str | int | bool]:
    """Properties of a consumer that reads what there is: it is told where a partition ends, soon."""
    return {"group.id": group, "enable.partition.eof": True, _WAIT: 20}


def create_producer(settings: KafkaSettings, properties: Mapping[str, str | int | bool]) -> Producer:
    """An idempotent producer; a transactional one where `transactional.id` is given.

    Raises:
        ConfigurationError: librdkafka refuses a property, or it is one that mekiki sets itself.

    """
    merged: dict[str, Any] = {
        **client_properties(settings),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": 100_000_000,
        **properties,
        **settings.producer,
    }
    _refuse_ours("kafka.producer", settings.producer, {"transactional.id", "enable.idempotence"})
    try:
        return Producer({**merged, **_callbacks()})
    except Exception as error:
        raise ConfigurationError(f"the Kafka producer's properties are refused: {error}") from error


def _refuse_ours(setting: str, given: Mapping[str, str], ours: set[str]) -> None:
    """Delivery and recovery rest on these properties: another value would lose events without a word."""
    if taken := sorted(ours & given.keys()):
        raise ConfigurationError(f"{setting} sets {', '.join(taken)}, which mekiki sets itself: leave it out")


def create_admin(settings: KafkaSettings) -> AdminClient:
    """A client for topics and metadata."""
    try:
        properties: dict[str, Any] = {**client_properties(settings), **_callbacks()}
        return AdminClient(properties)
    except Exception as error:
        raise ConfigurationError(f"the Kafka client's properties are refused: {error}") from error


def produce_all(producer: Producer, records: Sequence[OutputRecord], failures: list[Undelivered]) -> None:
    """Queue `records`; what is refused lands in `failures`, at the latest once the producer is flushed.

    Blocks while librdkafka's own queue is full.

    Raises:
        BrokerError: a record cannot be queued at all.

    """

    def delivered(record: OutputRecord, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(Undelivered(error, record))

    for record in records:
        while True:
            try:
                _produce(producer, record, partial(delivered, record))
                break
            except BufferError:
                producer.poll(0.1)
            except Exception as error:
                cause = error.args[0] if error.args else None
                if isinstance(cause, KafkaError) and cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    failures.append(Undelivered(cause, record))
                    break
                raise BrokerError(
                    f"a record of {len(record.value or b'')} bytes for {record.topic}: {error}"
                ) from error
    producer.poll(0)


def _produce(
    producer: Producer, record: OutputRecord, delivered: Callable[[KafkaError | None, Message], None]
) -> None:
    producer.produce(
        record.topic,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
        partition=record.partition,
        on_delivery=delivered,
    )
