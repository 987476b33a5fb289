"""What searches filter and order by: attributes of images as columns, and which rows a filter lets in.

attributes/
    names.json        of categories, listings, tags and preferences, each sorted; a code is a place in it
    category.npy      int32 [images]: a code, or -1
    listing_id.npy    int32 [images]
    uploaded.npy      int64 [images]: microseconds since 1970, or the least there is
    tag.npy           int32 [tags of all images], image after image
    tag_starts.npy    int64 [images + 1]: the tags of image i are tag_starts[i] to tag_starts[i + 1]
    preference.npy    float32 [preferences, images]: scores, or NaN; earlier releases wrote none
    group.npy         uint64 [images]: the group of copies, or 0; earlier releases wrote none
    copy_vector.npy   float32 [images, dimension]: of unit norm, or NaN; where there are any
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.search import SearchFilter

UNKNOWN = -1
NO_TIME = np.iinfo(np.int64).min

_NAMES_FILE = "names.json"
_PREFERENCE = "preference"
_GROUP = "group"
_COPY_VECTOR = "copy_vector"
COPY_VECTOR_FILE = f"{_COPY_VECTOR}.npy"
_ARRAYS = ("category", "listing_id", "uploaded", "tag", "tag_starts")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_CAPACITY = 256

Codes = NDArray[np.int32]
Scores = NDArray[np.float32]
Part = tuple["AttributeColumns", NDArray[np.int64]]


@dataclass(frozen=True)
class Attributes:
    """What is known of an image beside its vector.

    `uploaded` is in microseconds since 1970, `copy_vector` float32 [any dimension] of unit norm, `group` 16
    hexadecimal digits.
    """

    category: str | None = None
    listing_id: str | None = None
    tags: tuple[str, ...] = ()
    uploaded: int | None = None
    preferences: Mapping[str, float] = field(default_factory=dict)
    group: str | None = None
    copy_vector: NDArray[np.float32] | None = field(default=None, compare=False)


NOTHING_KNOWN = Attributes()


def microseconds(time: datetime) -> int:
    """Since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


class Names(Protocol):
    """Names and their codes."""

    def code(self, name: str) -> int:
        """Of `name`, or UNKNOWN."""

    def name(self, code: int) -> str:
        """Of `code`."""

    def listed(self) -> list[str]:
        """All of them, by code."""


class SortedNames:
    """Names that are never changed: no more memory than the names themselves."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def code(self, name: str) -> int:
        """See Names."""
        place = bisect_left(self._names, name)
        return place if place < len(self._names) and self._names[place] == name else UNKNOWN

    def name(self, code: int) -> str:
        """See Names."""
        return self._names[code]

    def listed(self) -> list[str]:
        """See Names."""
        return list(self._names)


class GrowingNames:
    """Names that one thread adds to."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._codes: dict[str, int] = {}

    def add(self, name: str | None) -> int:
        """The code of `name` from now on; of None UNKNOWN."""
        if name is None:
            return UNKNOWN
        code = self._codes.get(name)
        if code is None:
            code = len(self._names)
            self._names.append(name)
            self._codes[name] = code
        return code

    def code(self, name: str) -> int:
        """See Names."""
        return self._codes.get(name, UNKNOWN)

    def name(self, code: int) -> str:
        """See Names."""
        return self._names[code]

    def listed(self) -> list[str]:
        """See Names."""
        return list(self._names)


@dataclass(frozen=True)
class Column:
    """Codes, and what they stand for."""

    codes: Codes
    names: Names

    def is_one_of(self, wanted: Iterable[str]) -> NDArray[np.bool_]:
        """Which codes stand for one of `wanted`."""
        codes = [code for name in wanted if (code := self.names.code(name)) != UNKNOWN]
        if len(codes) == 1:
            return np.asarray(self.codes == codes[0])
        return np.isin(self.codes, np.array(codes, np.int32))


@dataclass(frozen=True)
class AttributeColumns:
    """The attributes of images by row; rows are never changed. An unknown preference is NaN."""

    category: Column
    listing_id: Column
    uploaded: NDArray[np.int64]
    tag: Column
    tag_starts: NDArray[np.int64]
    preferences: Mapping[str, Scores]
    groups: NDArray[np.uint64]
    copy_vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.uploaded)

    def matching(self, asked: SearchFilter) -> NDArray[np.bool_]:
        """Which rows `asked` lets in, bool [rows]; what is not known of an image is never asked for."""
        held = np.ones(len(self), np.bool_)
        if asked.categories:
            held &= self.category.is_one_of(asked.categories)
        if asked.listing_ids:
            held &= self.listing_id.is_one_of(asked.listing_ids)
        for tag in asked.tags:
            held &= self._has(tag)
        if asked.uploaded_from is not None:
            held &= self.uploaded >= microseconds(asked.uploaded_from)
        if asked.uploaded_before is not None:
            held &= (self.uploaded < microseconds(asked.uploaded_before)) & (self.uploaded != NO_TIME)
        return held

    def faults(self) -> list[str]:
        """Where the arrays do not fit each other or their names."""
        images, tags = len(self.uploaded), len(self.tag.codes)
        told = {
            "not every image has a category, a listing, a time and tags, or none of it": images
            == len(self.category.codes)
            == len(self.listing_id.codes)
            == len(self.tag_starts) - 1,
            "tag_starts.npy does not give each image its tags": self.tag_starts[0] == 0
            and self.tag_starts[-1] == tags
            and bool((np.diff(self.tag_starts) >= 0).all()),
        }
        told["not every image has a group, and a copy vector or none"] = (
            len(self.groups) == len(self.copy_vectors) == images
        )
        for name, scores in self.preferences.items():
            told[f"not every image has a score of {name}, or none"] = len(scores) == images
        for name, column in (("category", self.category), ("listing_id", self.listing_id), ("tag", self.tag)):
            names = column.names.listed()
            in_range = (column.codes >= UNKNOWN) & (column.codes < len(names))
            told[f"{name}.npy has codes without a name"] = bool(in_range.all())
            told[f"the names of {name} are not in order"] = names == sorted(set(names))
        return [text for text, holds in told.items() if not holds]

    def row(self, row: int) -> Attributes:
        """The attributes of one image."""
        first, last = int(self.tag_starts[row]), int(self.tag_starts[row + 1])
        uploaded = int(self.uploaded[row])
        return Attributes(
            category=_name(self.category, row),
            listing_id=_name(self.listing_id, row),
            tags=tuple(self.tag.names.name(int(code)) for code in self.tag.codes[first:last]),
            uploaded=None if uploaded == NO_TIME else uploaded,
            preferences={
                name: float(scores[row])
                for name, scores in self.preferences.items()
                if not np.isnan(scores[row])
            },
            group=_group_name(int(self.groups[row])),
            copy_vector=_copy_vector(self.copy_vectors[row]),
        )

    def _has(self, tag: str) -> NDArray[np.bool_]:
        has = np.zeros(len(self), np.bool_)
        places = np.flatnonzero(self.tag.is_one_of([tag]))
        has[np.searchsorted(self.tag_starts, places, "right") - 1] = True
        return has


class GrowingAttributes:
    """Attributes of a tail: one thread appends, others read the first rows without a lock."""

    def __init__(self) -> None:
        self._length = 0
        self._tags = 0
        self._names = {name: GrowingNames() for name in ("category", "listing_id", "tag")}
        self._category = np.empty(_FIRST_CAPACITY, np.int32)
        self._listing_id = np.empty(_FIRST_CAPACITY, np.int32)
        self._uploaded = np.empty(_FIRST_CAPACITY, np.int64)
        self._tag = np.empty(_FIRST_CAPACITY, np.int32)
        self._tag_starts = np.zeros(_FIRST_CAPACITY, np.int64)
        self._groups = np.zeros(_FIRST_CAPACITY, np.uint64)
        self._copy_vectors = _no_vectors(_FIRST_CAPACITY)
        self._preferences: dict[str, Scores] = {}  # replaced, never changed: others read it meanwhile

    def append(self, attributes: Attributes) -> None:
        """The attributes of the next row."""
        row, tags = self._length, dict.fromkeys(attributes.tags)
        if row + 1 == len(self._tag_starts):
            self._grow()
        while self._tags + len(tags) > len(self._tag):
            self._tag = _doubled(self._tag)
        for tag in tags:
            self._tag[self._tags] = self._names["tag"].add(tag)
            self._tags += 1
        self._category[row] = self._names["category"].add(attributes.category)
        self._listing_id[row] = self._names["listing_id"].add(attributes.listing_id)
        self._uploaded[row] = NO_TIME if attributes.uploaded is None else attributes.uploaded
        self._tag_starts[row + 1] = self._tags
        self._append_preferences(row, attributes.preferences)
        self._groups[row] = 0 if attributes.group is None else int(attributes.group, 16)
        self._append_copy_vector(row, attributes.copy_vector)
        self._length = row + 1

    def columns(self, length: int) -> AttributeColumns:
        """The first `length` rows."""
        starts = self._tag_starts[: length + 1]
        return AttributeColumns(
            category=Column(self._category[:length], self._names["category"]),
            listing_id=Column(self._listing_id[:length], self._names["listing_id"]),
            uploaded=self._uploaded[:length],
            tag=Column(self._tag[: int(starts[-1])], self._names["tag"]),
            tag_starts=starts,
            preferences={name: scores[:length] for name, scores in self._preferences.items()},
            groups=self._groups[:length],
            copy_vectors=self._copy_vectors[:length],
        )

    @property
    def copy_bytes(self) -> int:
        """What the copy vectors take."""
        return self._copy_vectors.nbytes

    def _append_copy_vector(self, row: int, vector: NDArray[np.float32] | None) -> None:
        """Of the dimension of the first one: vectors of another are not comparable."""
        if vector is None:
            return
        if not self._copy_vectors.shape[1]:
            self._copy_vectors = _no_vectors(len(self._uploaded), len(vector))
        if self._copy_vectors.shape[1] == len(vector):
            self._copy_vectors[row] = vector

    def _append_preferences(self, row: int, preferences: Mapping[str, float]) -> None:
        new = preferences.keys() - self._preferences.keys()
        if new:
            capacity = len(self._uploaded)
            self._preferences = {**self._preferences, **{name: _unknown(capacity) for name in new}}
        for name, score in preferences.items():
            self._preferences[name][row] = score

    def _grow(self) -> None:
        self._category = _doubled(self._category)
        self._listing_id = _doubled(self._listing_id)
        self._uploaded = _doubled(self._uploaded)
        self._tag_starts = _doubled(self._tag_starts)
        self._groups = _doubled(self._groups)
        self._copy_vectors = np.concatenate([self._copy_vectors, np.full_like(self._copy_vectors, np.nan)])
        self._preferences = {
            name: np.concatenate([scores, _unknown(len(scores))])
            for name, scores in self._preferences.items()
        }


def nothing_known(images: int) -> AttributeColumns:
    """Of images of which no attributes were kept."""
    none = Column(np.full(images, UNKNOWN, np.int32), SortedNames([]))
    return AttributeColumns(
        category=none,
        listing_id=none,
        uploaded=np.full(images, NO_TIME, np.int64),
        tag=Column(np.empty(0, np.int32), SortedNames([])),
        tag_starts=np.zeros(images + 1, np.int64),
        preferences={},
        groups=np.zeros(images, np.uint64),
        copy_vectors=_no_vectors(images),
    )


def together(parts: Sequence[Part]) -> AttributeColumns:
    """Rows of several columns, one after another, under names of their own."""
    gathered = [_tags_of(columns, rows) for columns, rows in parts]
    starts = np.concatenate([[0], *(counts for _, counts in gathered)]).cumsum()
    return AttributeColumns(
        category=_joined([Column(c.category.codes[rows], c.category.names) for c, rows in parts]),
        listing_id=_joined([Column(c.listing_id.codes[rows], c.listing_id.names) for c, rows in parts]),
        uploaded=np.concatenate([c.uploaded[rows] for c, rows in parts]),
        tag=_joined([column for column, _ in gathered]),
        tag_starts=starts.astype(np.int64),
        preferences=_preferences_of(parts),
        groups=np.concatenate([c.groups[rows] for c, rows in parts]),
        copy_vectors=_copy_vectors_of(parts),
    )


def write_columns(path: Path, columns: AttributeColumns) -> None:
    """Write `columns`, which `together` gave, as directory `path`."""
    path.mkdir()
    sealed = {"category": columns.category, "listing_id": columns.listing_id, "tag": columns.tag}
    names = {name: column.names.listed() for name, column in sealed.items()}
    names[_PREFERENCE] = list(columns.preferences)
    (path / _NAMES_FILE).write_text(json.dumps(names), encoding="utf-8")
    for name in _ARRAYS:
        array: NDArray[Any] = sealed[name].codes if name in sealed else getattr(columns, name)
        np.save(path / f"{name}.npy", array)
    if columns.preferences:
        np.save(path / f"{_PREFERENCE}.npy", np.stack(list(columns.preferences.values())))
    np.save(path / f"{_GROUP}.npy", columns.groups)
    if columns.copy_vectors.shape[1]:
        np.save(path / COPY_VECTOR_FILE, columns.copy_vectors)


def read_columns(path: Path) -> AttributeColumns:
    """What `write_columns` wrote; the arrays stay on disk until they are looked at.

    Raises:
        OSError, ValueError, KeyError: it is not whole.

    """
    names = json.loads((path / _NAMES_FILE).read_text(encoding="utf-8"))
    arrays: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        arrays[name] = np.load(path / f"{name}.npy", mmap_mode="r")
    return AttributeColumns(
        category=Column(arrays["category"], SortedNames(names["category"])),
        listing_id=Column(arrays["listing_id"], SortedNames(names["listing_id"])),
        uploaded=arrays["uploaded"],
        tag=Column(arrays["tag"], SortedNames(names["tag"])),
        tag_starts=arrays["tag_starts"],
        preferences=_read_preferences(path, names.get(_PREFERENCE, [])),
        groups=_read_if_there(path, _GROUP, np.zeros(len(arrays["uploaded"]), np.uint64)),
        copy_vectors=_read_if_there(path, _COPY_VECTOR, _no_vectors(len(arrays["uploaded"]))),
    )


def _read_if_there(path: Path, name: str, otherwise: NDArray[Any]) -> NDArray[Any]:
    file = path / f"{name}.npy"
    return np.load(file, mmap_mode="r") if file.exists() else otherwise


def _read_preferences(path: Path, names: list[str]) -> dict[str, Scores]:
    if not names:
        return {}
    return dict(zip(names, np.load(path / f"{_PREFERENCE}.npy", mmap_mode="r"), strict=True))


def _name(column: Column, row: int) -> str | None:
    code = int(column.codes[row])
    return None if code == UNKNOWN else column.names.name(code)


def _tags_of(columns: AttributeColumns, rows: NDArray[np.int64]) -> tuple[Column, NDArray[np.int64]]:
    """The tags of `rows`, row after row, and how many each has."""
    firsts = columns.tag_starts[rows]
    counts = columns.tag_starts[rows + 1] - firsts
    ends = counts.cumsum()
    places = np.repeat(firsts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)
    return Column(columns.tag.codes[places], columns.tag.names), counts


def _preferences_of(parts: Sequence[Part]) -> dict[str, Scores]:
    """The scores of all parts, one after another, under each name that some image has one of."""
    joined = {
        name: np.concatenate(
            [
                columns.preferences[name][rows] if name in columns.preferences else _unknown(len(rows))
                for columns, rows in parts
            ]
        )
        for name in sorted(set().union(*(columns.preferences for columns, _ in parts)))
    }
    return {name: scores for name, scores in joined.items() if not np.isnan(scores).all()}


def _copy_vectors_of(parts: Sequence[Part]) -> NDArray[np.float32]:
    """Those of all parts, one after another; of the dimension of the newest part that has any."""
    dims = [columns.copy_vectors.shape[1] for columns, _ in parts]
    dim = next((each for each in reversed(dims) if each), 0)
    return np.concatenate(
        [
            columns.copy_vectors[rows]
            if columns.copy_vectors.shape[1] == dim
            else _no_vectors(len(rows), dim)
            for columns, rows in parts
        ]
    )


def is_known(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which images have a copy vector, bool [images]: of `vectors`, float32 [images, dim], NaN where not."""
    if not vectors.shape[1]:
        return np.zeros(len(vectors), np.bool_)
    return ~np.isnan(vectors[:, 0])


def _no_vectors(images: int, dim: int = 0) -> NDArray[np.float32]:
    return np.full((images, dim), np.nan, np.float32)


def _copy_vector(row: NDArray[np.float32]) -> NDArray[np.float32] | None:
    return None if not len(row) or np.isnan(row[0]) else np.array(row)


def _group_name(group: int) -> str | None:
    return f"{group:016x}" if group else None


def _unknown(images: int) -> Scores:
    return np.full(images, np.nan, np.float32)


def _joined(parts: Sequence[Column]) -> Column:
    """The codes of all parts, one after another, as places in the sorted names that they use."""
    used = [np.unique(part.codes[part.codes != UNKNOWN]) for part in parts]
    named = [
        [part.names.name(code) for code in codes.tolist()] for part, codes in zip(parts, used, strict=True)
    ]
    names = sorted(set().union(*named))
    place = {name: number for number, name in enumerate(names)}
    codes = [
        _recoded(part.codes, old, np.array([place[name] for name in mine], np.int32))
        for part, old, mine in zip(parts, used, named, strict=True)
    ]
    return Column(np.concatenate(codes), SortedNames(names))


def _recoded(codes: Codes, old: Codes, new: Codes) -> Codes:
    """`codes` with each of `old`, sorted, replaced by its counterpart in `new`."""
    if not len(old):
        return np.full(len(codes), UNKNOWN, np.int32)
    places = np.minimum(np.searchsorted(old, codes), len(old) - 1)
    return np.where(codes == UNKNOWN, UNKNOWN, new[places]).astype(np.int32)


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
