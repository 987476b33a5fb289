import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from export.errors import DatasetError
from export.tables import read_rows

TEXT = "path,label\na.jpg,Ｔシャツ\nb.jpg,お知らせ\n"
LABELS = ["Ｔシャツ", "お知らせ"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings_need_no_word(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert [row.values["label"] for row in read_rows(path)] == LABELS


def test_another_encoding_is_refused_with_the_byte_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(TEXT.encode("cp932"))
    offset = TEXT.encode("cp932").index("Ｔシ".encode("cp932"))
    with pytest.raises(DatasetError) as caught:
        read_rows(path)
    message = str(caught.value)
    assert f"byte {offset} (line 2" in message
    assert "as cp932 that line reads 'a.jpg,Ｔシャツ'" in message
    assert "--encoding" in message
    assert [row.values["label"] for row in read_rows(path, "cp932")] == LABELS


def test_a_wrong_or_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(TEXT.encode("utf-8"))
    with pytest.raises(DatasetError, match="is not ascii"):
        read_rows(path, "ascii")
    with pytest.raises(DatasetError, match="no known encoding"):
        read_rows(path, "utf-9")


def test_jsonl_and_parquet_give_the_rows_of_the_csv(tmp_path: Path) -> None:
    rows = [{"path": "a.jpg", "label": "x", "sender": 7}, {"path": "b.jpg", "label": None, "sender": 8}]
    lines, columns = tmp_path / "l.jsonl", tmp_path / "l.parquet"
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    parquet.write_table(pa.Table.from_pylist(rows), columns)
    expected = [{"path": "a.jpg", "label": "x", "sender": "7"}, {"path": "b.jpg", "label": "", "sender": "8"}]
    assert [row.values for row in read_rows(lines)] == expected
    assert [row.values for row in read_rows(columns)] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "table is empty"),
        ("a.csv", b"path,label\na.jpg\n", "line 2 has not the header's 2 fields"),
        ("a.csv", b"path,label\na.jpg,x,y\n", "line 2 has not the header's 2 fields"),
        ("a.csv", b'path,label\n"a.jpg,x\n', "unexpected end of data"),
        ("a.jsonl", b'{"path": "a.jpg"}\n{"path"\n', "line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("a.parquet", b"PAR1 and nothing more", "not a readable Parquet file"),
        ("a.xlsx", b"PK", "a table ends in one of"),
    ],
)
def test_damaged_tables_say_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_rows(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such table"):
        read_rows(tmp_path / "none.csv")
