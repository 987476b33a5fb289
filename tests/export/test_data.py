from collections.abc import Callable
from pathlib import Path

import pytest

from export.data import (
    Columns,
    Dataset,
    Example,
    Skipped,
    SkipReason,
    data_digest,
    drop_small_classes,
    parse_source,
    read_source,
    read_sources,
    require_images,
    split_by_group,
)
from export.errors import DatasetError

Draw = Callable[..., Path]


def read(text: str, columns: Columns | None = None) -> Dataset:
    return read_source(parse_source(text), columns or Columns())


def named(count: int, groups: int) -> Dataset:
    return Dataset(
        tuple(Example(Path(f"{n}.jpg"), f"{n}.jpg", "x", f"sender {n % groups}") for n in range(count)),
        (Skipped("gone.jpg", SkipReason.MISSING_FILE),),
    )


def test_class_folders_give_labels_and_count_what_is_left_out(tmp_path: Path, draw: Draw) -> None:
    draw("set/shirt/a.jpg")
    draw("set/shirt/b.png")
    draw("set/shoe/sub/c.webp")
    (tmp_path / "set/hat").mkdir()
    (tmp_path / "set/shoe/notes.txt").write_text("x")
    dataset = read(str(tmp_path / "set"))
    assert dataset.labels() == {"shirt": 2, "shoe": 1}
    assert dataset.skips() == {"empty class": 1, "not an image file": 1}


def test_a_flat_folder_has_no_labels(tmp_path: Path, draw: Draw) -> None:
    draw("set/a.jpg")
    assert read(str(tmp_path / "set")).examples[0].label == ""


def test_a_table_counts_missing_and_repeated_files(tmp_path: Path, draw: Draw) -> None:
    draw("images/a.jpg")
    rows = "images/a.jpg,shirt,3\nimages/gone.jpg,shoe,4\nimages/a.jpg,shoe,3\n"
    (tmp_path / "labels.csv").write_text("path,label,sender_id\n" + rows)
    dataset = read(str(tmp_path / "labels.csv"))
    assert dataset.examples == (Example(tmp_path / "images/a.jpg", "images/a.jpg", "shirt", "3"),)
    assert dataset.skips() == {"listed twice": 1, "missing file": 1}
    assert read(str(tmp_path)).examples == dataset.examples  # the folder is read through its labels.csv


def test_conditions_pick_rows(tmp_path: Path, draw: Draw) -> None:
    for name in "abc":
        draw(f"{name}.jpg")
    (tmp_path / "t.csv").write_text("path,label,split\na.jpg,qr,train\nb.jpg,mixed,train\nc.jpg,qr,test\n")
    table = tmp_path / "t.csv"
    assert [e.name for e in read(f"{table}:label=qr").examples] == ["a.jpg", "c.jpg"]
    assert [e.name for e in read(f"{table}:label=qr,label=mixed,split=train").examples] == ["a.jpg", "b.jpg"]
    with pytest.raises(DatasetError, match="not column=value"):
        parse_source(f"{table}:label")
    with pytest.raises(DatasetError, match="no column 'colour'; there are path, label, split"):
        read(f"{table}:colour=red")
    with pytest.raises(DatasetError, match="not one image to use"):
        read(f"{table}:label=none")


def test_columns_can_be_named(tmp_path: Path, draw: Draw) -> None:
    draw("a.jpg")
    (tmp_path / "t.csv").write_text("url,kind,shop\na.jpg,shirt,s1\n")
    with pytest.raises(DatasetError, match="no column with image paths"):
        read(str(tmp_path / "t.csv"))
    example = read(str(tmp_path / "t.csv"), Columns("url", "kind", "shop")).examples[0]
    assert (example.name, example.label, example.group) == ("a.jpg", "shirt", "s1")


@pytest.mark.parametrize("text", ["nowhere", "nowhere.csv"])
def test_sources_that_are_not_there(text: str) -> None:
    with pytest.raises(DatasetError, match=r"no such (folder or )?table"):
        read(text)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "set/shirt").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"not one image to use \(1 x empty class"):
        read(str(tmp_path / "set"))


def test_several_sources_keep_their_names_and_groups_apart(tmp_path: Path, draw: Draw) -> None:
    draw("one/a.jpg")
    draw("two/a.jpg")
    sources = [parse_source(str(tmp_path / name)) for name in ("one", "two")]
    dataset = read_sources(sources, Columns())
    assert [(e.name, e.group) for e in dataset.examples] == [
        ("one/a.jpg", "one/a.jpg"),
        ("two/a.jpg", "two/a.jpg"),
    ]


def test_a_group_is_never_in_two_parts_and_stays_when_images_are_added() -> None:
    shares = {"train": 0.8, "test": 0.2}
    parts = split_by_group(named(2000, 400), shares, "salt")
    groups = {name: {example.group for example in part.examples} for name, part in parts.items()}
    assert groups["train"].isdisjoint(groups["test"])
    assert 0.7 < len(parts["train"]) / 2000 < 0.9
    more = split_by_group(named(4000, 400), shares, "salt")
    assert {example.group for example in more["test"].examples} == groups["test"]
    assert [part.skipped for part in parts.values()] == [named(2000, 400).skipped, ()]
    assert split_by_group(named(2000, 400), shares, "other")["test"] != parts["test"]


def test_small_classes_are_dropped_and_counted() -> None:
    labels = ["shirt"] * 3 + ["shoe"] * 2 + ["hat"]
    dataset = Dataset(tuple(Example(Path(str(n)), str(n), label, "") for n, label in enumerate(labels)))
    kept = drop_small_classes(dataset, 2)
    assert kept.labels() == {"shirt": 3, "shoe": 2}
    assert kept.skips() == {"class too small": 1}
    with pytest.raises(
        DatasetError, match="at least 3 images each, and at most one has them: 'hat' 1, 'shirt' 3"
    ):
        drop_small_classes(dataset, 3)


def test_too_few_images_say_what_was_left_out(tmp_path: Path, draw: Draw) -> None:
    draw("set/a.jpg")
    (tmp_path / "set/b.txt").write_text("")
    with pytest.raises(
        DatasetError, match=r"the class needs at least 5 images and got 1 \(left out: 1 x not an image"
    ):
        require_images(read(str(tmp_path / "set")), 5, "the class")


def test_the_digest_hangs_on_bytes_names_and_sets_and_not_on_the_folder(tmp_path: Path, draw: Draw) -> None:
    for folder in ("one", "two"):
        draw(f"{folder}/x/a.jpg", seed=1)
        draw(f"{folder}/x/b.jpg", seed=2)
    one, two = read(str(tmp_path / "one")), read(str(tmp_path / "two"))
    assert data_digest(one) == data_digest(two)
    assert data_digest(Dataset(one.examples[:1]), Dataset(one.examples[1:])) != data_digest(one)
    draw("two/x/b.jpg", seed=3)
    assert data_digest(two) != data_digest(one)
