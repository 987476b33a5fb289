"""Labels: which image has which tags, from CSV, JSONL or Parquet, one row an image, in bounded memory.

The tags of a row stand in one column (a list; in CSV with `|` between them, or as JSON), or each tag has a
column of its own with 1 or 0. Rows are read one by one and kept as numbers: 100,000 images of 30,000 tags
take what their tags take, never a table of both.
"""

import csv
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from export.data import Columns, Dataset, Example, LeftOut, SkipReason, Source, prefixed, read_source
from export.errors import DatasetError
from export.tables import TABLE_SUFFIXES, marked_encoding
from export.tags.names import MOST_LENGTH, clean_name, look_alikes

MOST_NAMES = 200_000
MOST_ASSIGNMENTS = 100_000_000
_LINE = 16_000_000
_LONGEST_TEXT = 5 * MOST_LENGTH  # of a name before it is cleaned; longer ones are not even remembered
_LIST_COLUMNS = ("tags", "labels", "label", "class", "category")
_PATH_COLUMNS = ("path", "file", "filename", "image")
_GROUP_COLUMNS = ("group_id", "sender_id", "sender", "seller_id", "shop_id", "shop", "source", "subset")
_YES, _NO = (
    {"1", "1.0", "true", "True", "TRUE", "yes"},
    {"", "0", "0.0", "false", "False", "FALSE", "no", "None"},
)
Cells = dict[str, Any]


@dataclass(frozen=True)
class TagLabels:
    """Images and their tags. Image i has the tags `tags[first[i]:first[i + 1]]`, indices into `names`."""

    dataset: Dataset
    names: list[str]
    first: NDArray[np.int64]
    tags: NDArray[np.uint32]
    left_out: dict[str, int] = field(default_factory=dict)
    alike: list[list[str]] = field(default_factory=list)

    def rows_of(self) -> list[NDArray[np.int64]]:
        """For every tag the images that have it, ascending."""
        shape = len(self.first) - 1, len(self.names)
        by_tag = csr_array((np.ones(len(self.tags), bool), self.tags, self.first), shape).tocsc()
        return [by_tag.indices[begin:end].astype(np.int64) for begin, end in pairwise(by_tag.indptr)]

    def where(self, images: Sequence[int] | NDArray[np.int64], dataset: Dataset) -> "TagLabels":
        """The images of these indices, which are those of `dataset`."""
        chosen = np.asarray(images, np.int64)
        lengths = np.diff(self.first)[chosen]
        first = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(self.first[chosen] - first[:-1], lengths) + np.arange(first[-1])
        return TagLabels(dataset, self.names, first, self.tags[at], self.left_out, self.alike)


def read_labels(sources: Sequence[Source], columns: Columns, encoding: str | None = None) -> TagLabels:
    """The images and tags of tables and folders (whose folders are tags).

    Raises:
        DatasetError: a source cannot be read or gives no image, a column is neither path, group nor 0 or 1,
            or there are more names or tags than any catalogue has.

    """
    reading = _Reading()
    for source in sources:
        table = _table_of(source.path)
        if table is None:
            part = _read_folder(source, columns, reading)
        else:
            part = _read_table(Source(table, source.wanted), columns, encoding, reading)
        if not part.examples:
            counted = ", ".join(f"{count} x {reason}" for reason, count in part.skips().items())
            raise DatasetError(f"{source.path}: not one image to use ({counted or 'no rows'})")
        reading.dataset += part if len(sources) == 1 else prefixed(part, source.path)
    return reading.labels()


def _table_of(path: Path) -> Path | None:
    """The table that is read for `path`; None for a folder whose folders are tags."""
    inside = path / "labels.csv"
    if inside.is_file():
        return inside
    return path if path.suffix.lower() in TABLE_SUFFIXES else None


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.dataset = Dataset(())
        self._numbers: dict[str, int] = {}
        self._known: dict[str, int | None] = {}
        self._first, self._tags = array("q", [0]), array("I")
        self._left_out: Counter[str] = Counter()

    def expect(self, tags: Iterator[str]) -> None:
        """Tags that are named, whether an image has them or not: those that none has are to be told."""
        for tag in tags:
            self._number(tag)

    def add(self, tags: Iterator[str]) -> None:
        """The tags of the next image."""
        own = {number for tag in tags if (number := self._number(tag)) is not None}
        self._tags.extend(sorted(own))
        self._first.append(len(self._tags))
        if len(self._tags) > MOST_ASSIGNMENTS:
            raise DatasetError(f"more than {MOST_ASSIGNMENTS:,} tags of images: split the table")

    def _number(self, text: str) -> int | None:
        if len(text) > _LONGEST_TEXT:
            self._left_out["names that are empty or too long"] += 1
            return None
        if text not in self._known:
            name = clean_name(text)
            if name is None:
                self._known[text] = None
            else:
                self._known[text] = self._numbers.setdefault(name, len(self._numbers))
            if len(self._known) > 2 * MOST_NAMES:
                raise DatasetError(
                    f"more than {MOST_NAMES:,} different tags: is the label column the right one? "
                    "Name it with --label-column"
                )
        number = self._known[text]
        if number is None:
            self._left_out["names that are empty or too long"] += bool(text.strip())
        return number

    def labels(self) -> TagLabels:
        names = list(self._numbers)
        first, tags = np.frombuffer(self._first, np.int64), np.frombuffer(self._tags, np.uint32)
        return TagLabels(self.dataset, names, first, tags, dict(self._left_out), look_alikes(names))


def _read_folder(source: Source, columns: Columns, reading: _Reading) -> Dataset:
    dataset = read_source(source, columns)
    for example in dataset.examples:
        reading.add(iter(example.label.split("|")))
    return dataset


def _read_table(source: Source, columns: Columns, encoding: str | None, reading: _Reading) -> Dataset:
    path, shape = source.path, None
    examples: dict[str, Example] = {}
    left_out = LeftOut()
    for number, cells in enumerate(_rows(path, encoding), start=1):
        if shape is None:
            shape = _Shape.of(path, cells, columns, source.wanted)
            reading.expect(shape.names(cells))
        if not shape.wants(cells):
            continue
        name = str(cells.get(shape.path) or "")
        file = path.parent / name
        if name in examples:
            left_out.add(name, SkipReason.LISTED_TWICE, f"row {number}")
        elif not name or not file.is_file():
            left_out.add(name, SkipReason.MISSING_FILE, f"row {number}")
        else:
            group = str(cells.get(shape.group) or "") if shape.group else ""
            reading.add(shape.tags(path, number, cells))
            examples[name] = Example(file, name, "", group or name)
    return Dataset(tuple(examples.values()), left_out.skipped())


def _rows(path: Path, encoding: str | None) -> Iterator[Cells]:
    if not path.is_file():
        raise DatasetError(f"{path}: no such table")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    return _json_lines(path, encoding) if suffix in {".jsonl", ".ndjson"} else _csv(path, encoding)


@dataclass(frozen=True)
class _Shape:
    """Which column is what; without `listed` every other column is a tag, but those of `wanted` rows."""

    path: str
    group: str | None
    listed: str | None
    wanted: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, path: Path, cells: Cells, asked: Columns, wanted: Mapping[str, tuple[str, ...]]) -> "_Shape":
        def column(name: str | None, usual: Sequence[str]) -> str | None:
            if name is not None and name not in cells:
                raise DatasetError(f"{path}: no column {name!r}; there are {', '.join(list(cells)[:30])}")
            return name or next((one for one in usual if one in cells), None)

        image = column(asked.path, _PATH_COLUMNS)
        if image is None:
            raise DatasetError(
                f"{path}: no column with image paths among {', '.join(list(cells)[:30])}; "
                "name it with --path-column"
            )
        for name in wanted:
            column(name, ())
        return cls(image, column(asked.group, _GROUP_COLUMNS), column(asked.label, _LIST_COLUMNS), wanted)

    def wants(self, cells: Cells) -> bool:
        return all(str(cells.get(name)) in values for name, values in self.wanted.items())

    def names(self, cells: Cells) -> Iterator[str]:
        """The columns that are tags."""
        if self.listed is None:
            yield from (name for name in cells if name not in {self.path, self.group, *self.wanted})

    def tags(self, path: Path, number: int, cells: Cells) -> Iterator[str]:
        if self.listed is not None:
            yield from _listed(path, number, cells.get(self.listed))
            return
        for name in self.names(cells):
            value = cells[name]
            if value in _NO or value is None or value == 0:
                continue
            if value not in _YES and value != 1:
                raise DatasetError(
                    f"{path}: row {number} has {str(value)[:40]!r} under {name!r}, which is neither 0 nor 1: "
                    "name the column that holds lists of tags with --label-column, or leave this one out"
                )
            yield name


def _listed(path: Path, number: int, value: object) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}: row {number}: a list of tags that is not JSON: {error}") from None
    if isinstance(value, str):
        yield from value.split("|")
    elif isinstance(value, list | tuple):
        yield from map(str, value)
    else:
        yield str(value)


def _csv(path: Path, encoding: str | None) -> Iterator[Cells]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    csv.field_size_limit(_LINE)
    reader = csv.reader(_lines(path, encoding), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DatasetError(f"{path}: the table is empty; its first line names the columns")
        _require_columns_once(path, header)
        for row in reader:
            if len(row) != len(header):
                raise DatasetError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, the header {len(header)}"
                )
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num}: {error}") from error


def _require_columns_once(path: Path, header: Sequence[str]) -> None:
    twice = [name for name, count in Counter(map(clean_name, header)).items() if count > 1 and name]
    if twice:
        raise DatasetError(f"{path}: columns of one name: {', '.join(twice[:10])}; a tag has one column")


def _json_lines(path: Path, encoding: str | None) -> Iterator[Cells]:
    for number, line in enumerate(_lines(path, encoding), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}: line {number} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise DatasetError(f"{path}: line {number} is not a JSON object")
        yield values


def _lines(path: Path, encoding: str | None) -> Iterator[str]:
    """Lines of at most `_LINE` characters."""
    with path.open("rb") as file:
        name = encoding or marked_encoding(file.read(64)) or "utf-8"
    number = 0
    try:
        with path.open(encoding=name, newline="") as text:
            while line := text.readline(_LINE):
                number += 1
                if len(line) == _LINE:
                    raise DatasetError(f"{path}: line {number} is longer than {_LINE:,} characters")
                yield line
    except LookupError:
        raise DatasetError(f"{path}: {name!r} is no known encoding") from None
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: after line {number} there is {error.object[error.start : error.start + 1]!r}, which is "
            f"not {error.encoding}: name the encoding with --encoding, or save the file as UTF-8"
        ) from None


def _parquet(path: Path) -> Iterator[Cells]:
    import pyarrow  # noqa: PLC0415 - the other formats do without it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path) as file:
            _require_columns_once(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a readable Parquet file: {error}") from error
