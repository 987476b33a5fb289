"""Click logs: which images a list showed where, and which were clicked.

One row an image that a list showed. What is counted by image and place is kept of the whole log; of the lists
themselves as many as fit, drawn by a hash of their name, so that memory is bounded and the draw is the same
each time.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.errors import DatasetError
from export.preference.log_rows import LogRows

LIST_COLUMNS = (
    "list_id",
    "list",
    "session_id",
    "session",
    "request_id",
    "search_id",
    "query_id",
    "query",
    "impression_id",
)
ITEM_COLUMNS = ("path", "image", "image_id", "item", "item_id", "file", "filename", "name")
POSITION_COLUMNS = ("position", "rank", "pos", "place")
CLICK_COLUMNS = ("clicked", "click", "clicks", "is_click", "is_clicked")
MOST_ROWS = 8_000_000
_YES, _NO = ("1", "1.0", "true", "True", "TRUE", "yes"), ("0", "0.0", "false", "False", "FALSE", "no", "")
_LARGEST_POSITION = 10_000
_SPACE = 2**64


@dataclass(frozen=True)
class Rows:
    """Shown images, a list's together: int32 [n] each but `clicked`, bool; lists count from 0 upwards."""

    list: NDArray[np.int64]
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.item)

    def where(self, kept: NDArray[np.bool_]) -> "Rows":
        """The rows that are kept; lists are numbered anew."""
        lists = np.unique(self.list[kept], return_inverse=True)[1]
        return Rows(lists, self.item[kept], self.position[kept], self.clicked[kept])


@dataclass(frozen=True)
class Counts:
    """How often each image was shown, and clicked, at each position: int64 [m] each, a pair once."""

    item: NDArray[np.int64]
    position: NDArray[np.int64]
    shown: NDArray[np.int64]
    clicked: NDArray[np.int64]

    @staticmethod
    def of(rows: Rows) -> "Counts":
        """Of rows that are all in memory."""
        return _merged(rows.item, rows.position, np.ones(len(rows), np.int64), rows.clicked.astype(np.int64))

    def positions(self) -> NDArray[np.int64]:
        """Each position once, ascending."""
        return np.unique(self.position)


@dataclass(frozen=True)
class ClickLog:
    """A log: counts of all of it, rows of the lists that were drawn, what was left out by reason."""

    counts: Counts
    rows: Rows
    shown: int
    skipped: Mapping[str, int]
    lists_drawn: float  # share of the lists whose rows are kept


@dataclass
class _Reading:
    """What is held while a log is read."""

    counts: Counts
    keys: list[NDArray[np.uint64]]
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]
    limit: int = _SPACE - 1
    held: int = 0


def read_clicks(
    path: Path, images: Mapping[str, int], encoding: str | None = None, most_rows: int = MOST_ROWS
) -> ClickLog:
    """Read a log a block at a time.

    Args:
        path: CSV, TSV, JSONL or Parquet with a column each for list, image, position and click.
        images: rows of the images by the name that the log calls them by; others are counted and left out.
        encoding: of CSV; UTF-8 if None.
        most_rows: rows of lists to keep.

    Raises:
        DatasetError: a column is missing, or no row can be used.

    """
    table = LogRows(path, encoding)
    columns = [
        table.column(None, usual, what)
        for usual, what in (
            (LIST_COLUMNS, "the list that was shown"), (ITEM_COLUMNS, "the image"),
            (POSITION_COLUMNS, "the position in the list"), (CLICK_COLUMNS, "clicks"),
        )
    ]  # fmt: skip
    skipped: Counter[str] = Counter()
    nothing = np.empty(0, np.int64)
    reading = _Reading(Counts(nothing, nothing, nothing, nothing), [], [])
    shown = 0
    for block in table.blocks(columns):
        lists, items, places, clicks = (block[name] for name in columns)
        item, position, clicked, kept = _numbers(items, places, clicks, images, skipped)
        shown += int(kept.sum())
        _count(reading, item[kept], position[kept], clicked[kept])
        _draw(reading, _keys(lists)[kept], item[kept], position[kept], clicked[kept], most_rows)
    told = ", ".join(f"{count} x {reason}" for reason, count in sorted(skipped.items())) or "no rows"
    if not shown:
        raise DatasetError(f"{path}: not one row to use ({told})")
    if not reading.counts.clicked.any():
        raise DatasetError(f"{path}: {shown} images were shown and none was clicked ({told})")
    return ClickLog(reading.counts, _rows(reading), shown, dict(skipped), (reading.limit + 1) / _SPACE)


def _numbers(
    items: pa.Array, places: pa.Array, clicks: pa.Array, images: Mapping[str, int], skipped: Counter[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows, positions and clicks of a block, and which rows can be used; the others are counted."""
    coded = items.dictionary_encode()
    known = np.array([images.get(name, -1) for name in coded.dictionary.to_pylist()], np.int64)
    item = np.append(known, -1)[coded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)]
    position = _integers(places)
    yes = pc.is_in(clicks, value_set=pa.array(_YES)).to_numpy(zero_copy_only=False)
    no = pc.is_in(pc.fill_null(clicks, ""), value_set=pa.array(_NO)).to_numpy(zero_copy_only=False)
    reasons = (
        ("of an image that is not given", item < 0),
        ("clicked, but shown at no position", yes & (position < 0)),
        ("position missing, or no whole number up to 10,000", ~yes & (position < 0)),
        ("click is neither 0 nor 1", ~(yes | no)),
    )
    kept = np.ones(len(item), bool)
    for reason, bad in reasons:
        if count := int((bad & kept).sum()):
            skipped[reason] += count
        kept &= ~bad
    return item, position, yes, kept


def _integers(texts: pa.Array) -> NDArray[np.int64]:
    """Whole numbers from 0 to `_LARGEST_POSITION`; -1 for all else."""
    coded = texts.dictionary_encode()
    values = []
    for text in coded.dictionary.to_pylist():
        try:
            number = float(text)
        except ValueError:
            number = -1
        values.append(int(number) if 0 <= number <= _LARGEST_POSITION and number == int(number) else -1)
    found: NDArray[np.int64] = np.array([*values, -1], np.int64)[
        coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    ]
    return found


def _keys(lists: pa.Array) -> NDArray[np.uint64]:
    """A hash [n] of each row's list."""
    coded = lists.dictionary_encode()
    hashes = [
        int.from_bytes(hashlib.blake2b((name or "").encode(), digest_size=8).digest(), "big")
        for name in coded.dictionary.to_pylist()
    ]
    found: NDArray[np.uint64] = np.array([*hashes, 0], np.uint64)[
        coded.indices.fill_null(len(hashes)).to_numpy(zero_copy_only=False)
    ]
    return found


def _merged(
    item: NDArray[np.int64], position: NDArray[np.int64], shown: NDArray[np.int64], clicked: NDArray[np.int64]
) -> Counts:
    width = int(position.max(initial=0)) + 1
    cells, place = np.unique(item * width + position, return_inverse=True)
    return Counts(
        cells // width,
        cells % width,
        np.bincount(place, shown, len(cells)).astype(np.int64),
        np.bincount(place, clicked, len(cells)).astype(np.int64),
    )


def _count(
    reading: _Reading, item: NDArray[np.int64], position: NDArray[np.int64], clicked: NDArray[np.bool_]
) -> None:
    held = reading.counts
    reading.counts = _merged(
        np.concatenate([held.item, item]),
        np.concatenate([held.position, position]),
        np.concatenate([held.shown, np.ones(len(item), np.int64)]),
        np.concatenate([held.clicked, clicked.astype(np.int64)]),
    )


def _draw(
    reading: _Reading,
    keys: NDArray[np.uint64],
    item: NDArray[np.int64],
    position: NDArray[np.int64],
    clicked: NDArray[np.bool_],
    most: int,
) -> None:
    """Keep the rows of lists whose hash lies under the limit, which falls until they fit."""
    kept = keys <= np.uint64(reading.limit)
    reading.keys.append(keys[kept])
    reading.parts.append((item[kept], position[kept], clicked[kept]))
    reading.held += int(kept.sum())
    while reading.held > most:
        reading.limit //= 2
        for place, (own, part) in enumerate(zip(reading.keys, reading.parts, strict=True)):
            under = own <= np.uint64(reading.limit)
            reading.keys[place] = own[under]
            reading.parts[place] = (part[0][under], part[1][under], part[2][under])
        reading.held = sum(map(len, reading.keys))


def _rows(reading: _Reading) -> Rows:
    keys = np.concatenate(reading.keys)
    order = np.argsort(keys, kind="stable")
    item, position, clicked = (np.concatenate([part[i] for part in reading.parts])[order] for i in range(3))
    return Rows(np.unique(keys[order], return_inverse=True)[1], item, position, clicked)
