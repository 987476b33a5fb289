import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.bundle import CopyHead
from tests.unit.index.indexing import DIM, IDENTITY, assert_holds, axis, filled, snapshot, start_here
from worker.errors import ConfigurationError, IndexDirectoryError
from worker.index.attributes import NOTHING_KNOWN, Attributes
from worker.index.ngt.directory import IndexDirectory
from worker.index.offline import parquet
from worker.index.offline.compact import compact
from worker.index.offline.owned import open_newest
from worker.index.offline.parquet import METADATA_KEY, ExportedIndex, NotImported, export_index, import_index
from worker.index.offline.verify import verify

TOPIC = IDENTITY.topic


@pytest.fixture
def exported(index_directory, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 16)
    path, vectors = index_directory
    out = tmp_path / "out.parquet"
    assert export_index(path, out) == len(vectors)
    return out, vectors


@pytest.fixture
def empty(tmp_path):
    place = tmp_path / "moved"
    place.mkdir()
    return place


def test_an_export_is_read_by_others_and_says_where_it_is_from(exported):
    out, vectors = exported
    table = pq.read_table(out)
    held = dict(zip(table["image_id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    assert {image_id: row.tolist() for image_id, row in vectors.items()} == held
    file = pq.ParquetFile(out)
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) == 16
    about = ExportedIndex.model_validate_json(file.schema_arrow.metadata[METADATA_KEY])
    assert (about.identity, about.offsets, about.images) == (IDENTITY, {0: 60, 1: 7}, len(vectors))


def test_what_comes_back_is_what_went_out_bit_by_bit(exported, empty, index_directory):
    out, vectors = exported
    assert import_index(out, empty, TOPIC, start_here) == len(vectors)
    moved, before = open_newest(empty), open_newest(index_directory[0]).manifest
    assert_holds(moved, vectors)
    assert (moved.manifest.offsets, moved.manifest.created_at) == (before.offsets, before.created_at)
    assert not any(found.faults for found in verify(empty))


def test_attributes_come_back_and_are_read_by_others(exported, empty, index_directory):
    out, _ = exported
    import_index(out, empty, TOPIC, start_here)
    known = [attributes(open_newest(place)) for place in (empty, index_directory[0])]
    assert known[0] == known[1]
    assert known[0]["i10"] == Attributes("hats", "l-1", ("red", "目"), 1_500_000, {"quality": 0.5})
    assert known[0]["i20"] == NOTHING_KNOWN
    rows = {row["image_id"]: row for row in pq.read_table(out).to_pylist()}
    assert rows["i10"]["uploaded_at"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert (rows["i10"]["preferences"], rows["i20"]["preferences"]) == ([("quality", 0.5)], [])
    assert (rows["i10"]["category"], rows["i20"]["category"], rows["i20"]["tags"]) == ("hats", None, [])


def test_copy_vectors_move_with_their_space(empty, tmp_path):
    copies = CopyHead(output="copy", dim=DIM, space="copies", near_duplicate_distance=0.1)
    source = IndexDirectory(tmp_path, IDENTITY, copies.space)
    live, _ = filled(3)
    live.upsert("a", axis(0), Attributes(copy_vector=axis(9)))
    snapshot(live, source)
    out = tmp_path / "out.parquet"
    export_index(tmp_path, out)
    import_index(out, empty, TOPIC, start_here)
    assert compact(empty, start_here).segments == (1, 1)
    moved = IndexDirectory(empty, IDENTITY, copies.space).load_newest(3600, copies)
    assert moved is not None
    (segment,) = moved.segments
    assert [
        [each.image_id for each in found] for found in segment.copies_within(axis(9)[None], 0.1, [0])
    ] == [["a"]]
    other = copies.model_copy(update={"space": "other"})
    assert IndexDirectory(empty, IDENTITY).load_newest(3600, other) is None


def attributes(generation):
    found = {}
    for segment in generation.segments:
        living = [position for position in range(len(segment)) if position not in segment.died]
        columns, rows = segment.attributes_of(living)
        found.update({segment.ids[p]: columns.row(row) for p, row in zip(living, rows, strict=True)})
    return found


def test_a_full_directory_and_another_index_are_refused(exported, empty, index_directory):
    out, _ = exported
    with pytest.raises(IndexDirectoryError, match="holds an index"):
        import_index(out, index_directory[0], TOPIC, start_here)
    with pytest.raises(ConfigurationError, match="--space"):
        import_index(out, empty, TOPIC, start_here, space="other")
    with pytest.raises(ConfigurationError, match=r"topics\.embedded"):
        import_index(out, empty, "another", start_here)
    assert list(empty.iterdir()) == []


def written(path, ids, vectors, kind=None):
    columns = {"image_id": pa.array(ids, pa.string()), "vector": pa.array(vectors, kind)}
    pq.write_table(pa.table(columns), path)
    return path


def rows(count=2, kind=list):
    return [kind(axis(number) * 3.0) for number in range(count)]


@pytest.mark.parametrize(
    "kind", [None, pa.list_(pa.float32()), pa.list_(pa.float64(), DIM), pa.large_list(pa.float32())]
)
def test_a_file_of_others_seeds_an_index_that_reads_the_whole_log(tmp_path, empty, kind):
    file = written(tmp_path / "others", ["a", "b"], rows(), kind)
    with pytest.raises(ConfigurationError, match="--space"):
        import_index(file, empty, TOPIC, start_here)
    assert import_index(file, empty, TOPIC, start_here, space=IDENTITY.space) == 2
    assert_holds(open_newest(empty), {"a": axis(0), "b": axis(1)})
    assert open_newest(empty).manifest.offsets == {}


SHORT, NAN = [*rows(1), [1.0]], [*rows(1), [float("nan")] * DIM]


@pytest.mark.parametrize(
    ("ids", "vectors", "says"),
    [
        (["a", "a"], rows(), "row 1: 'a' is no image id, or stands twice"),
        (["a", ""], rows(), "row 1: '' is no image id"),
        (["a", None], rows(), "row 1: None is no image id"),
        (["a", "b"], SHORT, "not 16 long"),
        (["a", "b"], [*rows(1), None], "null"),
        (["a", "b"], [*rows(1), [None] * DIM], "null"),
        (["a", "b"], NAN, "row 1 \\('b'\\): the vector has NaN"),
        (["a", "b"], [*rows(1), [0.0] * DIM], "row 1 \\('b'\\): the vector is zero"),
        ([], [], "no vector"),
        (["a"], [["x"]], "list of floats"),
        (["a"], [1.0], "list of floats"),
    ],
)
def test_a_row_that_is_no_image_is_named_and_nothing_is_imported(tmp_path, empty, ids, vectors, says):
    kind = None if vectors else pa.list_(pa.float32())
    file = written(tmp_path / "others", ids, vectors, kind)
    with pytest.raises(NotImported, match=says):
        import_index(file, empty, TOPIC, start_here, space="s")
    assert list(empty.iterdir()) == []


def test_attributes_of_others_are_taken_as_far_as_they_can_be(tmp_path, empty):
    columns = {"image_id": ["a", "b"], "vector": rows(), "category": [7, None]}
    columns |= {"tags": [["red", None, ""], None], "uploaded_at": pa.array([1, None], pa.timestamp("s"))}
    scores = pa.map_(pa.string(), pa.float64())
    columns["preferences"] = pa.array([{"quality": 0.5, "clicks": None}, None], scores)
    pq.write_table(pa.table(columns), tmp_path / "others")
    import_index(tmp_path / "others", empty, TOPIC, start_here, space=IDENTITY.space)
    known = attributes(open_newest(empty))
    assert known == {"a": Attributes("7", None, ("red",), 1_000_000, {"quality": 0.5}), "b": NOTHING_KNOWN}


def test_attributes_of_another_kind_are_refused(tmp_path, empty):
    columns = {"image_id": ["a", "b"], "vector": rows()}
    for name, values in (("uploaded_at", ["yesterday", None]), ("tags", ["red", "blue"])):
        pq.write_table(pa.table(columns | {name: values}), tmp_path / "others")
        with pytest.raises(NotImported, match="cannot be read further than row 0"):
            import_index(tmp_path / "others", empty, TOPIC, start_here, space=IDENTITY.space)


def test_what_is_no_such_file_says_so(tmp_path, empty, exported):
    out, _ = exported
    for raw, says in ((b"PAR1", "no Parquet file"), (out.read_bytes()[:-20], "no Parquet file")):
        (tmp_path / "bad").write_bytes(raw)
        with pytest.raises(NotImported, match=says):
            import_index(tmp_path / "bad", empty, TOPIC, start_here)
    with pytest.raises(NotImported, match="bad"):
        import_index(tmp_path / "bad", empty, TOPIC, start_here)
    with pytest.raises(NotImported, match="none"):
        import_index(tmp_path / "none", empty, TOPIC, start_here)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "columns")
    with pytest.raises(NotImported, match="no column image_id, but id"):
        import_index(tmp_path / "columns", empty, TOPIC, start_here)


def test_damaged_pages_are_found(tmp_path, empty, exported):
    out, _ = exported
    raw = bytearray(out.read_bytes())
    raw[200:600] = bytes(400)
    out.write_bytes(raw)
    with pytest.raises(NotImported):
        import_index(out, empty, TOPIC, start_here)
    assert list(empty.iterdir()) == []


def test_large_files_become_several_segments(tmp_path, empty, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_IMAGES", 4)
    file = written(tmp_path / "others", [f"i{n}" for n in range(10)], rows(10))
    assert import_index(file, empty, TOPIC, start_here, space=IDENTITY.space) == 10
    generation = open_newest(empty)
    assert [len(segment) for segment in generation.segments] == [4, 4, 2]
    assert_holds(generation, {f"i{n}": axis(n) for n in range(10)})


def test_without_pyarrow_it_says_what_to_install(index_directory, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"mekiki\[parquet\]"):
        export_index(index_directory[0], tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"mekiki\[parquet\]"):
        import_index(tmp_path / "in", tmp_path, TOPIC, start_here)


def test_an_export_that_cannot_be_written_leaves_nothing(index_directory, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export_index(index_directory[0], tmp_path / "none" / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export_index(index_directory[0], tmp_path / "taken")
    assert not (tmp_path / "taken.part").exists()
