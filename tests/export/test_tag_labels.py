"""Labels of tags: the same from every form of table, cleaned names, bounded memory, plain errors."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from export.data import Columns, parse_source
from export.errors import DatasetError
from export.tags.labels import read_labels
from export.tags.names import clean_name, look_alikes

CYRILLIC, WIDE = "R\u0435d", "\uff21\uff22\uff23"
TAGS = [["red", "shirt"], [], ["blue"], ["red", "blue", "night sky"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels")
    for i in range(4):
        (path / f"{i}.jpg").touch()
    return path


def write(folder: Path, form: str) -> Path:
    rows = [{"path": f"{i}.jpg", "sender": f"s{i % 2}", "tags": own} for i, own in enumerate(TAGS)]
    path = folder / f"labels{form}"
    names = ["red", "shirt", "blue", "night sky"]
    if form == ".list.csv":
        lines = ["path,sender,tags", *(f"{r['path']},{r['sender']},{'|'.join(r['tags'])}" for r in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif form == ".wide.csv":
        lines = ["path,sender," + ",".join(names)]
        lines += [
            f"{r['path']},{r['sender']}," + ",".join(str(int(n in r["tags"])) for n in names) for r in rows
        ]
        path.write_text("\n".join(lines) + "\n")
    elif form == ".list.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == ".list.parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        wide = [
            {"path": r["path"], "sender": r["sender"], **{n: n in r["tags"] for n in names}} for r in rows
        ]
        parquet.write_table(pyarrow.Table.from_pylist(wide), path)
    return path


def read(path: Path, **columns):
    return read_labels([parse_source(str(path))], Columns(**columns))


@pytest.mark.parametrize("form", [".list.csv", ".wide.csv", ".list.jsonl", ".list.parquet", ".wide.parquet"])
def test_every_form_says_the_same(folder, form):
    found = read(write(folder, form))
    named = [sorted(found.names[t] for t in found.tags[a:b]) for a, b in pairwise(found.first)]
    assert named == [sorted(own) for own in TAGS]
    rows = dict(zip(found.names, found.rows_of(), strict=True))
    assert rows["red"].tolist() == [0, 3]
    assert [example.group for example in found.dataset.examples] == ["s0", "s1", "s0", "s1"]
    part = found.where([3, 0], found.dataset)
    assert {n: r.tolist() for n, r in zip(part.names, part.rows_of(), strict=True)}["red"] == [0, 1]


def test_one_tag_has_one_name_and_names_that_only_look_alike_are_told(folder):
    names = [
        "Café",
        "Cafe\u0301",
        " Café\u200b",
        "night  sky",
        "",
        "\u202e",
        "x" * 300,
        "Red",
        "red",
        CYRILLIC,
    ]
    (folder / "names.jsonl").write_text(json.dumps({"path": "0.jpg", "tags": names}) + "\n")
    found = read(folder / "names.jsonl")
    assert found.names == ["Café", "night sky", "Red", "red", CYRILLIC]
    assert found.alike == [sorted(["Red", "red", CYRILLIC])]
    assert found.left_out == {"names that are empty or too long": 2}


def test_names_of_other_scripts_stay_as_they_are():
    assert clean_name("夜空") == "夜空"
    assert clean_name(WIDE) == WIDE
    assert look_alikes([WIDE, "abc", "夜空", "海"]) == [["abc", WIDE]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the table is empty"),
        ("path,red,red\n0.jpg,1,0\n", "columns of one name: red"),
        ("path,price\n0.jpg,12.50\n", "'12.50' under 'price', which is neither 0 nor 1"),
        ("path,red\n0.jpg,1,1\n", "line 2 has 3 fields, the header 2"),
        ("name,red\n0.jpg,1\n", "name it with --path-column"),
        ("path,tags\nmissing.jpg,red\n", "not one image to use"),
        ('path,tags\n0.jpg,"[1, "\n', "a list of tags that is not JSON"),
    ],
)
def test_bad_tables_are_told(folder, text, told):
    (folder / "bad.csv").write_text(text)
    with pytest.raises(DatasetError, match=told):
        read(folder / "bad.csv")


def test_another_encoding_and_endless_lines_are_told(folder):
    (folder / "sjis.csv").write_bytes("path,tags\n0.jpg,夜空\n".encode("cp932"))
    with pytest.raises(DatasetError, match="name the encoding with --encoding"):
        read(folder / "sjis.csv")
    assert read_labels([parse_source(str(folder / "sjis.csv"))], Columns(), "cp932").names == ["夜空"]
    (folder / "endless.jsonl").write_text('{"path": "' + "x" * 17_000_000)
    with pytest.raises(DatasetError, match="longer than 16,000,000 characters"):
        read(folder / "endless.jsonl")


# `make test-large`: 2 GB.
LARGE = int(os.environ.get("MEKIKI_LARGE_BYTES", "40000000"))


def wordy(file):
    """Long rows of one image that is not there."""
    row = json.dumps({"path": "missing.jpg", "note": "y" * 600, "tags": ["red"] * 30}) + "\n"
    file.write(json.dumps({"path": "0.jpg", "tags": ["red"]}) + "\n")
    file.writelines(row for _ in range(LARGE // len(row)))


def many(file):
    """Short rows, each of another image that is not there: a tenth of the bytes, since each is looked for."""
    file.write("path,tags\n0.jpg,red\n")
    file.writelines(f"missing-{number}.jpg,red\n" for number in range(LARGE // 200))


def prose(file):
    """A column of texts where names of tags should be."""
    file.write("path,tags\n0.jpg,red\n")
    file.writelines(f"{number % 4}.jpg,{number} {'word ' * 1000}\n" for number in range(LARGE // 5_000))


@pytest.mark.parametrize(
    ("write_rows", "suffix", "images"),
    [(wordy, "jsonl", 1), (many, "csv", 1), (prose, "csv", 4)],
)
def test_a_large_table_is_read_in_bounded_memory(tmp_path, write_rows, suffix, images):
    """Megabytes of labels, mostly of no use: the table is never held, and what is left out is counted."""
    path = tmp_path / f"large.{suffix}"
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    with path.open("w") as file:
        write_rows(file)
    code = (
        "import resource, sys; from export.data import Columns, parse_source\n"
        "from export.tags.labels import read_labels\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"found = read_labels([parse_source({str(path)!r})], Columns())\n"
        "assert found.names == ['red'], found.names\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        "print(len(found.dataset), sum(found.dataset.skips().values()), len(found.dataset.skipped))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, kept, counted, named = map(int, done.stdout.split())
    assert peak < 30_000  # kilobytes
    assert kept == images
    with path.open() as lines:
        assert kept + counted == sum(1 for _ in lines) - (suffix == "csv")
    assert named <= 1001
    path.unlink()


def test_rows_of_a_table_can_be_asked_for_by_another_column(folder):
    (folder / "split.csv").write_text("path,split,red\n0.jpg,train,1\n1.jpg,test,1\n2.jpg,train,0\n")
    found = read_labels([parse_source(f"{folder / 'split.csv'}:split=train")], Columns())
    assert [example.name for example in found.dataset.examples] == ["0.jpg", "2.jpg"]
    assert {name: rows.tolist() for name, rows in zip(found.names, found.rows_of(), strict=True)} == {
        "red": [0]
    }
    with pytest.raises(DatasetError, match="no column 'fold'"):
        read_labels([parse_source(f"{folder / 'split.csv'}:fold=1")], Columns())


def test_a_table_without_tags_gives_images_without(folder):
    (folder / "none.csv").write_text("path,red\n0.jpg,0\n1.jpg,0\n")
    found = read(folder / "none.csv")
    assert (len(found.dataset), found.names) == (2, ["red"])
    assert [rows.tolist() for rows in found.rows_of()] == [[]]  # named, so that it can be told
    (folder / "none.jsonl").write_text('{"path": "0.jpg", "tags": []}\n')
    assert read(folder / "none.jsonl").names == []
