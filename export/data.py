"""Image sets: from a folder or a label table to one `Dataset`, its splits and its digest.

A source is written as `PATH` or `PATH:column=value,column=value`: rows of a table that hold one of
the values named for each column. PATH is a folder (one folder a class, or flat; one that holds
`labels.csv` is read through it) or a table (`export.tables`).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from export.errors import DatasetError
from export.tables import TABLE_SUFFIXES, Row, read_rows

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif", ".mpo")
_PATH_COLUMNS = ("path", "file", "filename", "image")
_LABEL_COLUMNS = ("label", "class", "category")
_MOST_NAMED = 1000  # rows left out for one reason
_LONGEST_NAME = 500
_GROUP_COLUMNS = ("group_id", "sender_id", "sender", "seller_id", "shop_id", "shop", "source", "subset")


class SkipReason(StrEnum):
    """Why an image or a class was left out; counted in the run folder and the report."""

    MISSING_FILE = "missing file"
    BROKEN_IMAGE = "broken image"
    NOT_AN_IMAGE_FILE = "not an image file"
    LISTED_TWICE = "listed twice"
    EMPTY_CLASS = "empty class"
    SMALL_CLASS = "class too small"


@dataclass(frozen=True)
class Skipped:
    """An image, or class, that was left out; or `count` images whose names are not kept."""

    name: str
    reason: SkipReason
    detail: str = ""
    count: int = 1


class LeftOut:
    """Rows of a table that were left out: the first of each reason by name, the others counted.

    A table of gigabytes may name a hundred million images that are not there.
    """

    def __init__(self) -> None:
        self._named: list[Skipped] = []
        self._counts: Counter[SkipReason] = Counter()

    def add(self, name: str, reason: SkipReason, detail: str) -> None:
        """One more."""
        self._counts[reason] += 1
        if self._counts[reason] <= _MOST_NAMED:
            self._named.append(Skipped(name[:_LONGEST_NAME], reason, detail[:_LONGEST_NAME]))

    def skipped(self) -> tuple[Skipped, ...]:
        """All of them."""
        others = ((reason, count - _MOST_NAMED) for reason, count in self._counts.items())
        return (
            *self._named,
            *(Skipped(f"and {count} more", reason, count=count) for reason, count in others if count > 0),
        )


@dataclass(frozen=True)
class Example:
    """One image. `group` is what a split keeps together: a sender, a shop, a source."""

    path: Path
    name: str
    label: str
    group: str


@dataclass(frozen=True)
class Columns:
    """Columns of a table; None means the first usual name that the table has."""

    path: str | None = None
    label: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Images with labels and groups, and what was left out on the way here."""

    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    def labels(self) -> Counter[str]:
        """Number of images by label."""
        return Counter(example.label for example in self.examples)

    def skips(self) -> dict[str, int]:
        """Number of images or classes left out, by reason."""
        found: Counter[str] = Counter()
        for skipped in self.skipped:
            found[str(skipped.reason)] += skipped.count
        return dict(sorted(found.items()))

    def where(self, keep: Callable[[Example], bool]) -> "Dataset":
        """The images that `keep` says yes to."""
        return Dataset(tuple(filter(keep, self.examples)), self.skipped)

    def __add__(self, other: "Dataset") -> "Dataset":
        return Dataset(self.examples + other.examples, self.skipped + other.skipped)


@dataclass(frozen=True)
class Source:
    """Where images come from: a path, and for a table the rows wanted."""

    path: Path
    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def parse_source(text: str) -> Source:
    """`PATH` or `PATH:column=value,...`; values of one column are alternatives.

    Raises:
        DatasetError: a condition is not `column=value`.

    """
    if Path(text).exists() or ":" not in text:
        return Source(Path(text))
    path, _, conditions = text.rpartition(":")
    wanted: dict[str, list[str]] = defaultdict(list)
    for condition in conditions.split(","):
        column, equals, value = condition.partition("=")
        if not equals:
            raise DatasetError(
                f"{text}: {condition!r} is not column=value (a source is PATH:column=value,...)"
            )
        wanted[column].append(value)
    return Source(Path(path), {column: tuple(values) for column, values in wanted.items()})


def read_sources(sources: Iterable[Source], columns: Columns, encoding: str | None = None) -> Dataset:
    """All images of the sources; names are prefixed by the source where there are several.

    Raises:
        DatasetError: a source cannot be read, or gives no image at all.

    """
    listed = list(sources)
    total = Dataset(())
    for source in listed:
        dataset = read_source(source, columns, encoding)
        total += dataset if len(listed) == 1 else prefixed(dataset, source.path)
    return total


def read_source(source: Source, columns: Columns, encoding: str | None = None) -> Dataset:
    """The images of one folder or table (files are looked for, not opened).

    Raises:
        DatasetError: it cannot be read, or gives no image at all.

    """
    path = source.path
    if path.is_dir() and (path / "labels.csv").is_file():
        path = path / "labels.csv"
    if path.is_dir():
        if source.wanted:
            raise DatasetError(
                f"{path}: column=value picks rows of a table, and this is a folder without labels.csv"
            )
        dataset = _from_folder(path)
    elif path.suffix.lower() in TABLE_SUFFIXES:
        dataset = _from_table(path, source.wanted, columns, encoding)
    elif path.exists():
        raise DatasetError(f"{path}: neither a folder nor a table ({', '.join(TABLE_SUFFIXES)})")
    else:
        raise DatasetError(f"{path}: no such folder or table")
    if not dataset.examples:
        counted = (
            ", ".join(f"{count} x {reason}" for reason, count in dataset.skips().items()) or "nothing in it"
        )
        raise DatasetError(f"{path}: not one image to use ({counted})")
    return dataset


def require_images(dataset: Dataset, minimum: int, what: str) -> None:
    """Fail where there are too few images to do `what`.

    Raises:
        DatasetError: fewer than `minimum` images.

    """
    if len(dataset) < minimum:
        counted = ", ".join(f"{count} x {reason}" for reason, count in dataset.skips().items()) or "none"
        raise DatasetError(
            f"{what} needs at least {minimum} images and got {len(dataset)} (left out: {counted}); "
            "give more images, or other sources"
        )


def drop_small_classes(dataset: Dataset, minimum: int) -> Dataset:
    """Without the classes of fewer than `minimum` images, which are counted as skipped.

    Raises:
        DatasetError: fewer than two classes are left.

    """
    counts = dataset.labels()
    small = {label: count for label, count in counts.items() if count < minimum}
    if len(counts) - len(small) < 2:
        raise DatasetError(
            f"classes need at least {minimum} images each, and at most one has them: "
            + ", ".join(f"{label!r} {count}" for label, count in sorted(counts.items())[:20])
        )
    skipped = tuple(
        Skipped(label, SkipReason.SMALL_CLASS, f"{count} of at least {minimum} images")
        for label, count in sorted(small.items())
    )
    kept = dataset.where(lambda example: example.label not in small)
    return Dataset(kept.examples, dataset.skipped + skipped)


def split_by_group(dataset: Dataset, shares: Mapping[str, float], salt: str) -> dict[str, Dataset]:
    """Split into parts of about these shares; a group is never in two parts.

    The part hangs on a hash of salt and group alone, so that it stays when images are added.
    Shares are relative: they need not add up to 1. What was left out is counted with the first part.
    """
    total = sum(shares.values())
    parts: dict[str, list[Example]] = {name: [] for name in shares}
    for example in dataset.examples:
        parts[_part_of(example.group, shares, total, salt)].append(example)
    first = next(iter(shares))
    return {
        name: Dataset(tuple(examples), dataset.skipped if name == first else ())
        for name, examples in parts.items()
    }


def data_digest(*datasets: Dataset) -> str:
    """Sha256 in hex over the sorted lines `name, label, sha256 of the bytes` of each set.

    The same data in the same sets gives the same digest, wherever its folder lies.
    """
    digest = hashlib.sha256()
    for dataset in datasets:
        lines = sorted(
            f"{example.name}\t{example.label}\t{hashlib.sha256(example.path.read_bytes()).hexdigest()}\n"
            for example in dataset.examples
        )
        digest.update(hashlib.sha256("".join(lines).encode()).digest())
    return digest.hexdigest()


def _part_of(group: str, shares: Mapping[str, float], total: float, salt: str) -> str:
    digest = hashlib.sha256(f"{salt}\0{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64 * total
    for name, share in shares.items():
        if position < share:
            return name
        position -= share
    return list(shares)[-1]  # rounding left a rest


def prefixed(dataset: Dataset, path: Path) -> Dataset:
    """Names and groups with the source in front, where there are several."""
    folder = path if path.is_dir() else path.parent
    prefix = folder.resolve().name
    examples = tuple(
        Example(item.path, f"{prefix}/{item.name}", item.label, f"{prefix}/{item.group}")
        for item in dataset.examples
    )
    skipped = tuple(replace(item, name=f"{prefix}/{item.name}") for item in dataset.skipped)
    return Dataset(examples, skipped)


def _from_folder(root: Path) -> Dataset:
    examples: list[Example] = []
    skipped: list[Skipped] = []
    for path in sorted(item for item in root.rglob("*") if item.is_file()):
        name = path.relative_to(root)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            skipped.append(Skipped(name.as_posix(), SkipReason.NOT_AN_IMAGE_FILE))
            continue
        label = name.parts[0] if len(name.parts) > 1 else ""
        examples.append(Example(path, name.as_posix(), label, name.as_posix()))
    labels = {example.label for example in examples}
    folders = sorted(item.name for item in root.iterdir() if item.is_dir())
    skipped += [
        Skipped(name, SkipReason.EMPTY_CLASS, "the folder holds no image")
        for name in folders
        if name not in labels
    ]
    return Dataset(tuple(examples), tuple(skipped))


def _from_table(
    path: Path, wanted: Mapping[str, tuple[str, ...]], columns: Columns, encoding: str | None
) -> Dataset:
    rows = read_rows(path, encoding)
    if not rows:
        raise DatasetError(f"{path}: the table has a header and no rows")
    held = tuple(rows[0].values)
    path_column = _column(path, held, columns.path, _PATH_COLUMNS)
    if path_column is None:
        raise DatasetError(f"{path}: no column with image paths among {held}; name it with --path-column")
    label_column = _column(path, held, columns.label, _LABEL_COLUMNS)
    group_column = _column(path, held, columns.group, _GROUP_COLUMNS)
    for column in wanted:
        _column(path, held, column, ())
    examples: dict[str, Example] = {}
    left_out = LeftOut()
    for row in rows:
        if any(_value(path, row, column) not in values for column, values in wanted.items()):
            continue
        name = _value(path, row, path_column)
        file = path.parent / name
        if name in examples:
            left_out.add(name, SkipReason.LISTED_TWICE, f"row {row.number}")
        elif not name or not file.is_file():
            left_out.add(name, SkipReason.MISSING_FILE, f"row {row.number}: {file}")
        else:
            label = _value(path, row, label_column) if label_column else ""
            group = _value(path, row, group_column) if group_column else ""
            examples[name] = Example(file, name, label, group or name)
    return Dataset(tuple(examples.values()), left_out.skipped())


def _value(path: Path, row: Row, column: str) -> str:
    try:
        return row.values[column]
    except KeyError:
        raise DatasetError(f"{path}: row {row.number} lacks the column {column!r}") from None


def _column(path: Path, held: tuple[str, ...], asked: str | None, usual: tuple[str, ...]) -> str | None:
    if asked is not None and asked not in held:
        raise DatasetError(f"{path}: no column {asked!r}; there are {', '.join(held)}")
    return asked or next((name for name in usual if name in held), None)
