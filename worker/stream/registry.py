"""Schema registry: values in the Confluent wire format, read as JSON and written by their topic's schema.

A zero, four bytes of the schema's id, and the event in Avro or JSON. What is read may be of any schema that
the registry has; what is written is of the subject `<topic>-value`, whose schema is the model's
(`schemas/avro_schema.py`, or its JSON Schema). The client is Confluent's own.
"""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from schemas import events
from schemas.avro_schema import avro_schema
from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, Rejection, StageError
from worker.settings import SchemaRegistrySettings, TopicSettings
from worker.stream.avro_limits import refuse_costly

_MAGIC = 0
_HEAD = 5
_PAUSE_SECONDS = 1.0
_ASK_SECONDS = 10.0
_INCOMPATIBLE = 409
# Properties of the client that it takes as numbers alone.
_NUMBERS = {
    *("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms"),
    *("cache.capacity", "cache.latest.ttl.sec"),
}
_NOT_FOUND = 404

JSON = "application/json"
AVRO = "application/avro"

Write = Callable[[str, BaseModel], bytes]


def as_json(topic: str, event: BaseModel) -> bytes:
    """An event as plain JSON, whatever the topic."""
    del topic
    return event.model_dump_json().encode()


def is_wire_format(value: bytes | None) -> bool:
    """Whether a value may be in the Confluent wire format."""
    return value is not None and len(value) >= _HEAD and value[0] == _MAGIC


class SchemaRegistry:
    """Used from many threads at once; `patience` is how many seconds a registry that is away is asked again.

    Raises:
        ConfigurationError: mekiki[registry] is not installed, or the settings do not fit its client.

    """

    def __init__(self, settings: SchemaRegistrySettings, patience: float) -> None:
        try:
            import fastavro  # noqa: PLC0415 - where there is no registry, nobody pays for it
            import httpx2  # noqa: PLC0415
            from confluent_kafka.schema_registry import (  # noqa: PLC0415
                Schema,
                SchemaRegistryClient,
                SchemaRegistryError,
            )
        except ImportError as error:
            raise ConfigurationError(
                "kafka.schema_registry.url is set, and its client is not installed: pip install "
                f"'mekiki[registry]' ({error})"
            ) from error
        self._avro = fastavro
        self._away = (httpx2.HTTPError, OSError, ValueError)
        self._schema, self._error = Schema, SchemaRegistryError
        self._settings = settings
        self._patience = patience
        try:
            self._client = SchemaRegistryClient(
                {"url": settings.url, "timeout": _ASK_SECONDS, **_properties(settings)}
            )
        except (ValueError, TypeError, OSError) as error:
            raise ConfigurationError(f"kafka.schema_registry does not fit: {error}") from error
        self._lock = threading.Lock()
        self._readers: dict[int, tuple[str, Any]] = {}
        self._writers: dict[str, tuple[bytes, Any]] = {}

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def plain(self, value: bytes) -> bytes:
        """A value in the wire format as JSON; one that is not, as it is.

        Raises:
            Rejection: the registry does not know its schema, or the value is not of it.
            StageError: the registry does not answer.

        """
        if not is_wire_format(value):
            return value
        number = int.from_bytes(value[1:_HEAD], "big")
        kind, schema = self._reader(number)
        if kind == "JSON":
            return value[_HEAD:]
        body = io.BytesIO(value)
        body.seek(_HEAD)
        try:
            read = self._avro.schemaless_reader(body, schema)
        except (ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError, MemoryError) as error:
            raise _invalid(f"the value is not of the Avro schema {number}: {error!r}"[:500]) from error
        if body.read(1):
            raise _invalid(f"behind the value of the Avro schema {number} stand more bytes")
        return json.dumps(read, default=_plain_value).encode()

    def prepare(self, topics: Mapping[str, type[BaseModel]]) -> None:
        """Register, or look up, the schema of each topic that is written.

        Raises:
            ConfigurationError: the registry refuses one, or does not have it.
            StageError: it does not answer.

        """
        if self._settings.output == "json":
            return
        for topic, model in topics.items():
            schema, subject = self._schema_of(model), f"{topic}-value"
            number = self._asked(partial(self._id, subject, schema))
            head = bytes([_MAGIC]) + int(number).to_bytes(4, "big")
            parsed = self._avro.parse_schema(json.loads(schema.schema_str)) if self._is_avro else None
            self._writers[topic] = (head, parsed)

    def write(self, topic: str, event: BaseModel) -> bytes:
        """An event in the wire format, by the schema of its topic; as plain JSON where none was prepared."""
        if topic not in self._writers:
            return as_json(topic, event)
        head, schema = self._writers[topic]
        if schema is None:
            return head + event.model_dump_json().encode()
        out = io.BytesIO()
        out.write(head)
        self._avro.schemaless_writer(out, schema, event.model_dump())
        return out.getvalue()

    def answers(self) -> str:
        """That the registry is there, as a sentence.

        Raises:
            ConfigurationError: it refuses us.
            StageError: it does not answer.

        """
        self._asked(lambda: self._client.get_subjects(limit=1))
        return f"{self._settings.url} answers"

    def fits(self, topic: str, model: type[BaseModel]) -> str:
        """Whether what will be written to `topic` may be registered there, as a sentence.

        Raises:
            ConfigurationError: it may not.
            StageError: the registry does not answer.

        """
        subject, schema = f"{topic}-value", self._schema_of(model)
        if not self._settings.register_schemas:
            self._asked(partial(self._id, subject, schema))
            return f"{subject} has this release's schema ({self._settings.output})"

        def ask() -> bool:
            try:
                return bool(self._client.test_compatibility(subject, schema))
            except self._error as error:
                if error.http_status_code != _NOT_FOUND:  # there is no such subject yet
                    raise
                return True

        if not self._asked(ask):
            raise ConfigurationError(
                f"{subject} has a schema that the one of this release ({self._settings.output}) is not "
                "compatible with: name another topic, or change the subject's compatibility in the registry"
            )
        return f"{subject} takes this release's schema ({self._settings.output})"

    @property
    def content_type(self) -> str:
        """Of what is written."""
        return AVRO if self._is_avro else JSON

    @property
    def _is_avro(self) -> bool:
        return self._settings.output == "avro"

    def _schema_of(self, model: type[BaseModel]) -> Any:
        shape = avro_schema(model) if self._is_avro else model.model_json_schema(mode="serialization")
        text = json.dumps(shape)
        return self._schema(text, "AVRO" if self._is_avro else "JSON")

    def _id(self, subject: str, schema: Any) -> int:
        if self._settings.register_schemas:
            return int(self._client.register_schema(subject, schema))
        return int(self._client.lookup_schema(subject, schema).schema_id or 0)

    def _reader(self, number: int) -> tuple[str, Any]:
        with self._lock:
            known = self._readers.get(number)
        if known is not None:
            return known
        found = self._asked(lambda: self._client.get_schema(number), unknown=number)
        kind = found.schema_type or "AVRO"
        if kind not in {"AVRO", "JSON"}:
            raise Rejection(
                RejectionReason.ENVELOPE_NOT_JSON, f"the schema {number} is of {kind}: send Avro or JSON"
            )
        if found.references:
            raise _invalid(f"the schema {number} has references to others: send one that is whole")
        try:
            parsed = self._avro.parse_schema(json.loads(found.schema_str)) if kind == "AVRO" else None
            refuse_costly(parsed or "string")
        except Exception as error:
            raise _invalid(f"the schema {number} cannot be read: {error!r}"[:500]) from error
        with self._lock:
            self._readers[number] = (kind, parsed)
        return kind, parsed

    def _asked(self, ask: Callable[[], Any], unknown: int | None = None) -> Any:
        """What the registry answers; while it is away it is asked again."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return ask()
            except self._error as error:
                status = error.http_status_code
                if status == _NOT_FOUND and unknown is not None:
                    raise _invalid(f"the registry has no schema {unknown}, which the value names") from error
                if status == _INCOMPATIBLE or 400 <= status < 500:
                    raise ConfigurationError(f"{self._settings.url} refuses: {error}") from error
                failure: Exception = error
            except self._away as error:
                failure = error
            if time.monotonic() + _PAUSE_SECONDS > deadline:
                raise StageError(
                    f"the schema registry {self._settings.url} does not answer: {failure}"
                ) from failure
            time.sleep(_PAUSE_SECONDS)


def written_by_score(topics: TopicSettings) -> dict[str, type[BaseModel]]:
    """The models of the topics that the score role writes by a schema."""
    return {
        topics.moderated: events.ImageModerated,
        topics.enriched: events.ImageEnriched,
        topics.embedded: events.ImageEmbedded,
    }


def written_by_index(topics: TopicSettings) -> dict[str, type[BaseModel]]:
    """The model of the topic that the index role writes by a schema."""
    return {topics.index_updated: events.IndexUpdated}


def create_registry(settings: SchemaRegistrySettings, patience: float) -> SchemaRegistry | None:
    """The registry of the settings; None where there is none.

    Raises:
        ConfigurationError: as SchemaRegistry.

    """
    return None if settings.url is None else SchemaRegistry(settings, patience)


def _properties(settings: SchemaRegistrySettings) -> dict[str, Any]:
    properties: dict[str, Any] = dict(settings.properties)
    if settings.properties_file is not None:
        try:
            lines = settings.properties_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"kafka.schema_registry.properties_file cannot be read: {error}"
            ) from error
        pairs = (line.partition("=") for line in map(str.strip, lines) if line and line[0] != "#")
        properties |= {name.strip(): value.strip() for name, _, value in pairs}
    return {name: float(value) if name in _NUMBERS else value for name, value in properties.items()}


def _plain_value(value: object) -> object:
    """What JSON has no form for, as our JSON has it: times as text, bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, UUID | Decimal | timedelta):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _invalid(detail: str) -> Rejection:
    return Rejection(RejectionReason.ENVELOPE_INVALID, detail)
