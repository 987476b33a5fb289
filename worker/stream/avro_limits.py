"""Which Avro schemas are read: such that a value is never deeper than its schema, nor has items of no bytes.

A recursive schema lets few bytes be nested so deep that the reader's stack ends, and the process with it.
Items that take no bytes let a count of some bytes stand for as many as memory ends with.
"""

from collections.abc import Mapping
from typing import Any

_MOST_STEPS = 10_000


def refuse_costly(schema: Any) -> None:
    """Look through a schema as fastavro's `parse_schema` gives it: names are full, and defined once.

    Raises:
        ValueError: it is recursive, has items of no bytes, or is of too many parts.

    """
    _Walk().takes_bytes(schema, frozenset())


class _Walk:
    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._steps = 0

    def takes_bytes(self, schema: Any, around: frozenset[str]) -> bool:
        """Whether each value of `schema`, which stands in those `around` it, takes a byte at least."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ValueError("the schema is of too many parts")
        if isinstance(schema, str):
            return self._named(schema, around)
        if isinstance(schema, list):
            for branch in schema:
                self.takes_bytes(branch, around)
            return True
        return self._complex(schema, around)

    def _named(self, name: str, around: frozenset[str]) -> bool:
        if name in around:
            raise ValueError(f"the schema is recursive: {name} stands in itself")
        return self.takes_bytes(self._known[name], around) if name in self._known else name != "null"

    def _complex(self, schema: Mapping[str, Any], around: frozenset[str]) -> bool:
        kind = schema["type"]
        if "name" in schema:
            self._known[schema["name"]] = schema
        if kind in {"record", "error"}:
            inside = around | {schema["name"]}
            found = [
                self.takes_bytes(field["type"], inside) for field in schema["fields"]
            ]  # all are looked at
            return any(found)
        if kind == "array":
            if not self.takes_bytes(schema["items"], around):
                raise ValueError("the schema has an array whose items take no bytes")
            return True
        if kind == "map":
            self.takes_bytes(schema["values"], around)
            return True
        if kind == "fixed":
            return int(schema["size"]) > 0
        return kind == "enum" or self.takes_bytes(kind, around)
