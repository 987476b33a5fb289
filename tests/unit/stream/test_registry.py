"""The wire format, and a registry that fails: a server on loopback that speaks what is asked of one.

With a real one: tests/registry.
"""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import fastavro
import pytest

import worker.stream.registry
from schemas.events import IndexUpdated
from schemas.rejection import RejectionReason
from tests.loopback_server import AnsweringHandler, LoopbackServer
from worker.errors import ConfigurationError, Rejection, StageError
from worker.settings import SchemaRegistrySettings, TopicSettings
from worker.stream.registry import (
    SchemaRegistry,
    as_json,
    create_registry,
    is_wire_format,
    written_by_index,
    written_by_score,
)

NUMBERS = {"type": "record", "name": "N", "fields": [{"name": "n", "type": "int"}]}
RICH = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "data", "type": "bytes"},
        {"name": "tags", "type": {"type": "map", "values": ["null", "double"]}},
    ],
}
TREE = {
    "type": "record",
    "name": "T",
    "fields": [{"name": "inner", "type": ["null", "T"], "default": None}],
}
SCHEMAS = {
    1: {"schema": json.dumps(NUMBERS)},
    2: {"schema": json.dumps(RICH), "schemaType": "AVRO"},
    3: {"schema": "{}", "schemaType": "JSON"},
    4: {"schema": "syntax", "schemaType": "PROTOBUF"},
    5: {"schema": '{"type": "none"}', "schemaType": "AVRO"},
    6: {"schema": '"X"', "references": [{"name": "X", "subject": "x", "version": 1}]},
    7: {"schema": json.dumps(TREE)},
}


class FakeRegistry(LoopbackServer):
    def __init__(self):
        super().__init__("127.0.0.1")
        self.asked = []
        self.failing = 0
        self.status = 500

    def handler(self, request, address, server):
        registry = self

        class Handler(AnsweringHandler):
            def do_GET(self):  # noqa: N802 - the base class finds it by this name
                registry.asked.append(self.path)
                if registry.failing:
                    registry.failing -= 1
                    self.answer(registry.status, b'{"error_code": 1, "message": "it fails"}')
                    return
                number = int(self.path.partition("?")[0].rpartition("/")[2])
                body = SCHEMAS.get(number)
                missing = {"error_code": 40403, "message": "not found"}
                self.answer(200 if body else 404, json.dumps(body or missing).encode())

            def do_POST(self):  # noqa: N802
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(409, b'{"error_code": 409, "message": "incompatible"}')

        return Handler(request, address, server)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(worker.stream.registry, "_PAUSE_SECONDS", 0.01)
    with FakeRegistry() as fake:
        yield fake


def opened(fake, patience=0.0, **more):
    properties = {"max.retries": "0", **more.pop("properties", {})}
    url = f"http://127.0.0.1:{fake.port}"
    return SchemaRegistry(SchemaRegistrySettings(url=url, properties=properties, **more), patience)


def framed(number, body):
    return b"\0" + number.to_bytes(4, "big") + body


def avro(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def test_avro_is_read_as_our_json_has_it_and_a_schema_is_asked_for_once(fake):
    registry = opened(fake)
    value = {
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "id": UUID(int=7),
        "price": Decimal("12.50"),
        "data": b"\xff\xd8",
        "tags": {"a": 0.5, "b": None},
    }
    for _ in range(2):
        assert json.loads(registry.plain(framed(2, avro(RICH, value)))) == {
            "at": "2026-01-02T03:04:05+00:00",
            "day": "2026-01-02",
            "id": "00000000-0000-0000-0000-000000000007",
            "price": "12.50",
            "data": "/9g=",
            "tags": {"a": 0.5, "b": None},
        }
    assert len(fake.asked) == 1


def test_json_is_read_as_it_is_and_other_values_are_let_through(fake):
    registry = opened(fake)
    assert registry.plain(framed(3, b'{"a": 1}')) == b'{"a": 1}'
    for other in (b'{"a": 1}', b"", b"\0\0\0\1", b"\1\0\0\0\1x"):
        assert registry.plain(other) == other
        assert not is_wire_format(other)
    assert not is_wire_format(None)


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (framed(99, b""), RejectionReason.ENVELOPE_INVALID, "no schema 99"),
        (framed(1, b""), RejectionReason.ENVELOPE_INVALID, "not of the Avro schema 1"),
        (framed(1, b"\x02\x02"), RejectionReason.ENVELOPE_INVALID, "more bytes"),
        (framed(1, b"\xff" * 20), RejectionReason.ENVELOPE_INVALID, "schema 1"),
        (framed(2, b"\x02" * 9), RejectionReason.ENVELOPE_INVALID, "schema 2"),
        (framed(4, b""), RejectionReason.ENVELOPE_NOT_JSON, "PROTOBUF"),
        (framed(5, b""), RejectionReason.ENVELOPE_INVALID, "cannot be read"),
        (framed(6, b""), RejectionReason.ENVELOPE_INVALID, "references"),
        # It would end the process.
        (framed(7, b"\x02" * 1_000_000 + b"\x00"), RejectionReason.ENVELOPE_INVALID, "recursive"),
    ],
)
def test_what_is_wrong_with_a_value_is_a_rejection(fake, value, reason, said):
    with pytest.raises(Rejection, match=said) as caught:
        opened(fake).plain(value)
    assert caught.value.reason is reason


@pytest.mark.parametrize("status", [500, 503])
def test_a_registry_that_fails_is_asked_again_and_then_is_our_failure(fake, status):
    fake.status, fake.failing = status, 2
    assert json.loads(opened(fake, patience=5).plain(framed(1, b"\x02"))) == {"n": 1}
    fake.failing = 1000
    with pytest.raises(StageError, match="does not answer"):
        opened(fake, patience=0.05).plain(framed(1, b"\x02"))


def test_a_registry_that_refuses_us_is_never_blamed_on_the_value(fake):
    fake.status, fake.failing = 401, 1000
    with pytest.raises(ConfigurationError, match="refuses"):
        opened(fake).plain(framed(1, b"\x02"))
    with pytest.raises(ConfigurationError, match="refuses"):
        opened(fake).answers()


def test_an_incompatible_schema_ends_the_start(fake):
    topics = TopicSettings()
    with pytest.raises(ConfigurationError, match="incompatible"):
        opened(fake, output="avro").prepare(written_by_score(topics) | written_by_index(topics))
    with pytest.raises(ConfigurationError, match="incompatible"):
        opened(fake, output="json_schema", register_schemas=False).fits("t", IndexUpdated)
    plain = opened(fake)
    plain.prepare(written_by_index(topics))  # nothing is registered for plain JSON
    assert plain.write(topics.index_updated, SchemaRegistrySettings()) == as_json(
        "", SchemaRegistrySettings()
    )


def test_settings_that_do_not_fit_say_so(fake, tmp_path):
    assert create_registry(SchemaRegistrySettings(), 1) is None
    with pytest.raises(ConfigurationError, match="Unrecognized"):
        opened(fake, properties={"nonsense": "1"})
    file = tmp_path / "properties"
    file.write_text("# ours\nbasic.auth.user.info = shop:secret\n")
    opened(fake, properties_file=file).close()
    with pytest.raises(ConfigurationError, match="properties_file"):
        opened(fake, properties_file=tmp_path / "none")
