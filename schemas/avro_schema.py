"""Avro schemas of the events on the wire, made of their models.

An event in Avro has the fields of its JSON: times as `timestamp-micros`, ids as `uuid`, fields that may be
left out with their default. Source: Apache Avro 1.12, specification.
"""

from collections.abc import Iterator
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

NAMESPACE = "mekiki"

_PLAIN: dict[Any, Any] = {
    str: "string",
    bool: "boolean",
    int: "long",
    float: "double",
    NoneType: "null",
    UUID: {"type": "string", "logicalType": "uuid"},
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
    AwareDatetime: {"type": "long", "logicalType": "timestamp-micros"},
}


def avro_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The Avro schema of a model, as JSON.

    Raises:
        TypeError: a field is of a type that the events do not have.

    """
    return dict(_record(model, set()))


def _record(model: type[BaseModel], named: set[str]) -> Any:
    if model.__name__ in named:
        return f"{NAMESPACE}.{model.__name__}"
    named.add(model.__name__)
    fields = [
        {"name": name, **_documented(field), "type": _type(field.annotation, named), **_default(field)}
        for name, field in model.model_fields.items()
    ]
    doc = (model.__doc__ or "").strip().partition("\n")[0]
    return {"type": "record", "name": model.__name__, "namespace": NAMESPACE, "doc": doc, "fields": fields}


def _documented(field: FieldInfo) -> dict[str, str]:
    return {"doc": field.description} if field.description else {}


def _default(field: FieldInfo) -> dict[str, Any]:
    if field.is_required():
        return {}
    return {"default": field.get_default(call_default_factory=True)}


def _type(annotation: Any, named: set[str]) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0], named)
    if origin is Literal:
        return "string"
    if origin in (Union, UnionType):
        return list(_branches(inner, named))
    if origin is list:
        return {"type": "array", "items": _type(inner[0], named)}
    if origin is dict:
        return {"type": "map", "values": _type(inner[1], named)}
    return _simple(annotation, named)


def _simple(annotation: Any, named: set[str]) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _record(annotation, named)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    raise TypeError(f"{annotation!r} has no form in Avro here")


def _branches(inner: tuple[Any, ...], named: set[str]) -> Iterator[Any]:
    """Null first: a default is of the first branch."""
    for one in sorted(inner, key=lambda one: one is not NoneType):
        yield _type(one, named)
