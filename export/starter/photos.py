"""The product photos that the starter bundle learns from, split by sender and by shop photo."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.errors import DatasetError

Split = Literal["train", "calibration", "test"]
EXCLUDED_LIST = Path(__file__).with_name("excluded_photos.txt")
_UNTAGGED = {"Not sure", "Other", "Skip"}
# Two senders hold a quarter of the photos; wherever they fall, they decide, so they are trained on.
_ALWAYS_TRAINED = {"204", "48"}


@dataclass(frozen=True)
class Photo:
    """One product photo: `tags` may be empty (its label says nothing), `group` is its source."""

    path: Path
    group: Literal["clothing", "grocery"]
    tags: tuple[str, ...]
    split: Split
    sender: str = ""  # unknown of groceries


def excluded_photos() -> frozenset[str]:
    """File names that no training may read: the demo's photos and everything else of their senders."""
    lines = EXCLUDED_LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _share(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32


def _rows(folder: Path) -> list[dict[str, str]]:
    table = folder / "labels.csv"
    if not table.is_file():
        raise DatasetError(f"{table} is missing: --data must be the folder that holds clothing/ and grocery/")
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _clothing_split(sender: str) -> Split:
    if sender in _ALWAYS_TRAINED:
        return "train"
    share = _share(f"clothing-1/{sender}")
    return "test" if share < 0.25 else "calibration" if share < 0.42 else "train"


def read_clothing(data: Path) -> list[Photo]:
    """Clothing photos; one sender's photos are all in one split, the demo's senders in none."""
    excluded = excluded_photos()
    photos = []
    for row in _rows(data / "clothing"):
        path = data / "clothing" / row["path"]
        if path.name in excluded:
            continue
        tags: tuple[str, ...] = () if row["label"] in _UNTAGGED else (row["label"],)
        if tags and row["kids"] == "True":
            tags = (*tags, "Kids")
        sender = row["sender_id"]
        photos.append(Photo(path, "clothing", tags, _clothing_split(sender), sender))
    return photos


def read_grocery(data: Path) -> list[Photo]:
    """Grocery photos: the set's own `val` split is the test, a seventh of `train` sets thresholds."""
    photos = []
    for row in _rows(data / "grocery"):
        path = data / "grocery" / row["path"]
        split: Split = "test" if row["split"] == "val" else "train"
        if split == "train" and _share(f"grocery/{path.name}") < 1 / 7:
            split = "calibration"
        tags = tuple(dict.fromkeys((row["label"], row["coarse"], row["group"])))
        photos.append(Photo(path, "grocery", tags, split))
    return photos


def of_split(photos: Sequence[Photo], split: Split) -> list[Photo]:
    """The photos of one split, in file order."""
    return [photo for photo in photos if photo.split == split]
