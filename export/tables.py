"""Label tables: CSV, TSV, JSONL or Parquet to rows of text.

Text encodings: UTF-8 and whatever a byte order mark names (UTF-8, UTF-16, UTF-32) are read without
being asked. Anything else is an error that shows where the first odd byte stands and how the
encodings common in label tables would read it, because a wrong guess would train on wrong labels.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.errors import DatasetError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFTEN_SEEN = ("cp932", "euc_jp", "gb18030", "cp1252")


@dataclass(frozen=True)
class Row:
    """One row of a table: the values by column as text; `number` counts from 1 without the header."""

    number: int
    values: dict[str, str]


def read_rows(path: Path, encoding: str | None = None) -> list[Row]:
    """Rows of a label table, in its order; `encoding` None means: UTF-8 or what the mark names.

    Raises:
        DatasetError: no such file, another format, another encoding, or a row of another shape.

    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such table")
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return list(_parquet(path))
    if suffix not in readers:
        raise DatasetError(f"{path}: a table ends in one of {', '.join(TABLE_SUFFIXES)}")
    return list(readers[suffix](path, decode_text(path, encoding)))


def decode_text(path: Path, encoding: str | None) -> str:
    """The text of a file, or an error that names the first byte that does not decode."""
    data = path.read_bytes()
    name = encoding or marked_encoding(data) or "utf-8"
    try:
        return data.decode(name)
    except LookupError:
        raise DatasetError(f"{path}: {name!r} is no known encoding") from None
    except UnicodeDecodeError as error:
        raise DatasetError(_encoding_advice(path, data, error)) from None


def marked_encoding(data: bytes) -> str | None:
    """What a byte order mark at the beginning of `data` names, or UTF-16 that has none."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    # UTF-16 without a mark: every second byte of ASCII column names is NUL.
    head = data[:64]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 3:
        return "utf-16-le"
    if len(head) >= 4 and head[0::2].count(0) > len(head) // 3:
        return "utf-16-be"
    return None


def _encoding_advice(path: Path, data: bytes, error: UnicodeDecodeError) -> str:
    line = data.count(b"\n", 0, error.start) + 1
    start = data.rfind(b"\n", 0, error.start) + 1
    end = data.find(b"\n", error.start)
    odd_line = data[start : end if end >= 0 else len(data)].strip(b"\r")
    readings = []
    for name in _OFTEN_SEEN:
        try:
            data.decode(name)
            readings.append(f"as {name} that line reads {odd_line.decode(name)[:60]!r}")
        except UnicodeDecodeError:
            continue
    tried = "; ".join(readings) or f"none of {', '.join(_OFTEN_SEEN)} reads it either"
    return (
        f"{path}: byte {error.start} (line {line}, 0x{data[error.start]:02x}) is not {error.encoding}: "
        f"{tried}. "
        "Name the encoding with --encoding, or save the file as UTF-8"
    )


def _csv(path: Path, text: str) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if not reader.fieldnames:
            raise DatasetError(f"{path}: the table is empty; its first line names the columns")
        for number, values in enumerate(reader, start=1):
            if None in values or None in values.values():
                raise DatasetError(
                    f"{path}: line {reader.line_num} has not the header's {len(reader.fieldnames)} fields"
                )
            yield Row(number, values)
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num}: {error}") from error


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    number = 0
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}: line {line_number} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise DatasetError(f"{path}: line {line_number} is not a JSON object")
        number += 1
        yield Row(number, _texts(values))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow  # noqa: PLC0415 - the other formats do without it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        rows = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a readable Parquet file: {error}") from error
    for number, values in enumerate(rows, start=1):
        yield Row(number, _texts(values))


def _texts(values: dict[str, object]) -> dict[str, str]:
    return {str(name): "" if value is None else str(value) for name, value in values.items()}
