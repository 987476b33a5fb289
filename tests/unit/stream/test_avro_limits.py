"""Schemas by which few bytes would cost a process its stack or its memory are not read."""

import json

import fastavro
import pytest

from schemas.avro_schema import avro_schema
from schemas.generate import MODELS
from worker.stream.avro_limits import refuse_costly


def record(name, **fields):
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }


EMPTY = record("Empty", a="null", b=record("Emptier"))


def doubled(levels):
    """Each level holds the one below twice: the value has 2 to the power of the levels parts."""
    schema = record("L0", a="null")
    for number in range(1, levels):
        schema = record(f"L{number}", a=schema, b=f"L{number - 1}")
    return schema


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (record("T", inner=["null", "T"]), "recursive"),
        (record("T", inner={"type": "array", "items": "T"}), "recursive"),
        (record("A", b=record("B", a={"type": "map", "values": "A"})), "recursive"),
        ({"type": "array", "items": "null"}, "no bytes"),
        ({"type": "array", "items": EMPTY}, "no bytes"),
        (record("R", e=EMPTY, many={"type": "array", "items": "Empty"}), "no bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "no bytes"),
        (doubled(30), "too many parts"),
    ],
)
def test_what_is_costly_is_refused(schema, why):
    with pytest.raises(ValueError, match=why):
        refuse_costly(fastavro.parse_schema(schema))


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        EMPTY,
        ["null", "int"],
        {"type": "array", "items": {"type": "array", "items": ["null", "int"]}},
        {"type": "map", "values": "null"},
        record("R", e={"type": "enum", "name": "E", "symbols": ["a"]}, again={"type": "array", "items": "E"}),
        record("R", f={"type": "fixed", "name": "F", "size": 4}, t={"type": "long", "logicalType": "x"}),
        *(avro_schema(model) for name, model in MODELS.items() if name.startswith("listing.")),
    ],
)
def test_what_people_have_is_not(schema):
    assert refuse_costly(fastavro.parse_schema(json.loads(json.dumps(schema)))) is None
