"""Which photo is used for what: senders never meet across splits, the demo's senders are in none."""

import csv
from pathlib import Path

import numpy as np
import pytest

from export.embedding.duplicates import nearest_other
from export.errors import DatasetError
from export.metrics import Share
from export.starter.held_groups import printed_shirts
from export.starter.measure import auroc
from export.starter.photos import EXCLUDED_LIST, excluded_photos, of_split, read_clothing, read_grocery
from export.starter.tables import main as write_tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables of 60 senders with four photos each, one of them excluded, and of ten cartons."""
    excluded = sorted(excluded_photos())[0]
    (tmp_path / "clothing").mkdir()
    with (tmp_path / "clothing/labels.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["path", "label", "kids", "sender_id"])
        for sender in range(60):
            for i in range(4):
                table.writerow([f"images/{sender}-{i}.jpg", "Hat" if i else "Not sure", str(i == 2), sender])
        table.writerow([f"images/{excluded}", "Hat", "False", "54"])
    (tmp_path / "grocery").mkdir()
    with (tmp_path / "grocery/labels.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["path", "label", "coarse", "group", "split"])
        for i in range(40):
            table.writerow(
                [f"images/{i}.jpg", "Oat-Milk", "Oat-Milk", "Packages", "val" if i % 4 == 0 else "train"]
            )
    return tmp_path


def test_a_sender_is_in_one_split_only(folder: Path) -> None:
    splits: dict[str, set[str]] = {}
    for photo in read_clothing(folder):
        splits.setdefault(photo.path.name.split("-")[0], set()).add(photo.split)
    assert {len(found) for found in splits.values()} == {1}
    assert {split for found in splits.values() for split in found} == {"train", "calibration", "test"}


def test_tables_hold_every_photo_in_its_split(folder: Path, tmp_path: Path) -> None:
    assert write_tables(["--data", str(folder), "--out", str(tmp_path / "tables")]) == 0
    photos = [*read_clothing(folder), *read_grocery(folder)]
    for split in ("train", "calibration", "test"):
        with (tmp_path / f"tables/{split}.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        named = {(Path(row["path"]).name, row["label"]) for row in rows}
        assert named == {(photo.path.name, photo.group) for photo in photos if photo.split == split}


def test_excluded_photos_are_in_no_split(folder: Path) -> None:
    assert not {photo.path.name for photo in read_clothing(folder)} & excluded_photos()


def test_labels_that_say_nothing_give_no_tag(folder: Path) -> None:
    by_name = {photo.path.name: photo.tags for photo in read_clothing(folder)}
    assert (by_name["7-0.jpg"], by_name["7-1.jpg"], by_name["7-2.jpg"]) == ((), ("Hat",), ("Hat", "Kids"))


def test_grocery_tags_are_not_said_twice(folder: Path) -> None:
    photos = read_grocery(folder)
    assert {photo.tags for photo in photos} == {("Oat-Milk", "Packages")}
    assert {photo.path.name for photo in of_split(photos, "test")} == {f"{i}.jpg" for i in range(0, 40, 4)}


def test_a_wrong_data_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"clothing/ and grocery/"):
        read_clothing(tmp_path)


def test_printed_shirts_are_not_excluded_photos() -> None:
    assert len(printed_shirts()) >= 40
    assert not printed_shirts() & excluded_photos()
    assert EXCLUDED_LIST.is_file()


def test_shares_and_areas() -> None:
    assert Share(1, 8).percent == 12.5
    assert auroc(np.array([0.9, 0.8], np.float32), np.array([0.1, 0.85], np.float32)) == 0.75
    near = nearest_other(np.array([[1, 0], [0.6, 0.8], [1, 0]], np.float32))
    np.testing.assert_allclose(near, [0, 0.4, 0], atol=1e-6)
