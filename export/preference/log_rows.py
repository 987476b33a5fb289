"""A click log or a table of ratings, a block at a time: however long, it needs the memory of a block."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from export.errors import DatasetError
from export.tables import TABLE_SUFFIXES

_BLOCK_BYTES = 16 * 2**20
_BLOCK_ROWS = 200_000


class LogRows:
    """The rows of CSV, TSV, JSONL or Parquet; iterating gives blocks, by column asked for, as text."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Read the names of the columns.

        Raises:
            DatasetError: no such table, another format, or it begins with what cannot be read.

        """
        if not path.is_file():
            raise DatasetError(f"{path}: no such table")
        self.path, self._encoding = path, encoding or "utf8"
        with _told(path):
            self.columns = tuple(next(self._batches()).schema.names)

    def column(self, asked: str | None, usual: Sequence[str], what: str) -> str:
        """The column called `asked`, or the first usual name that the table has.

        Raises:
            DatasetError: there is none.

        """
        if asked is not None and asked not in self.columns:
            raise DatasetError(f"{self.path}: no column {asked!r}; there are {', '.join(self.columns)}")
        found = asked or next((name for name in usual if name in self.columns), None)
        if found is None:
            raise DatasetError(
                f"{self.path}: no column for {what} (one of {', '.join(usual)}); "
                f"there are {', '.join(self.columns)}"
            )
        return found

    def has(self, usual: Sequence[str]) -> str | None:
        """The first of these names that the table has."""
        return next((name for name in usual if name in self.columns), None)

    def blocks(self, columns: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
        """Blocks of rows: string arrays by column, null where nothing stands.

        Raises:
            DatasetError: a row has another shape, or bytes do not decode.

        """
        with _told(self.path):
            for batch in self._batches():
                yield {name: _text(batch.column(batch.schema.get_field_index(name))) for name in columns}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        suffix = self.path.suffix.lower()
        if suffix in {".csv", ".tsv"}:
            with self.path.open("rb") as file:
                header = file.readline().decode(self._encoding, "replace").strip("\ufeff\r\n")
            separator = "\t" if suffix == ".tsv" else ","
            names = next(csv.reader([header], delimiter=separator), [])
            yield from pa.csv.open_csv(
                self.path,
                read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES, encoding=self._encoding),
                parse_options=pa.csv.ParseOptions(delimiter=separator),
                convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        elif suffix in {".jsonl", ".ndjson"}:
            yield from pa.json.open_json(self.path, pa.json.ReadOptions(block_size=_BLOCK_BYTES))
        elif suffix == ".parquet":
            yield from pa.parquet.ParquetFile(self.path).iter_batches(_BLOCK_ROWS)
        else:
            raise DatasetError(f"{self.path}: a table ends in one of {', '.join(TABLE_SUFFIXES)}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Arrow's errors as ours."""
    try:
        yield
    except StopIteration:
        raise DatasetError(f"{path}: the table is empty; its first line names the columns") from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if "Empty CSV" in str(error) or "Empty JSON" in str(error):
            raise DatasetError(f"{path}: the table is empty; its first line names the columns") from None
        raise DatasetError(f"{path}: not a readable table: {error}") from error


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if pa.types.is_string(values.type) else values.cast(pa.string())
