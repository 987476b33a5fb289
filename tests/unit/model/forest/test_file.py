"""A forest file: read as it was written, and refused when a bit of it is another."""

import numpy as np
import pytest

from export.tags.tables import table_at, write_forest
from schemas.forest import DIGEST_OFFSET, MAGIC, PREFIX, TAG, TREE
from tests.forests import drawn_codebook, drawn_forest, drawn_table
from worker.errors import BundleError
from worker.model.forest.file import ForestFile, digest_of, open_forest


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    path = tmp_path_factory.mktemp("forest") / "tags.forest"
    return path, drawn_forest(path, np.random.default_rng(1))


def signed(data: bytearray) -> bytes:
    """With the digest of what it holds now: somebody else's writer, not damage."""
    data[DIGEST_OFFSET : DIGEST_OFFSET + 32] = digest_of(data)
    return bytes(data)


def test_a_forest_is_read_as_it_was_written(tables):
    path, written = tables
    forest = open_forest(path)
    assert forest.names == [table.name for table in written]
    assert [table_at(forest, i).digest() for i in range(7)] == [table.digest() for table in written]
    assert [tag["digest"].tobytes() for tag in forest.tags] == [table.digest() for table in written]
    assert forest.version.startswith("1-")
    assert forest.header.space == "drawn"


def test_two_sets_of_tags_have_two_versions(tables, tmp_path):
    path, written = tables
    book = open_forest(path).codebook
    fewer = write_forest(tmp_path / "fewer", book, "drawn", "1", written[:-1])
    assert fewer != open_forest(path).version
    assert open_forest(tmp_path / "fewer").version == fewer


def test_every_flipped_bit_is_refused(tables, tmp_path):
    whole = tables[0].read_bytes()
    rng, target = np.random.default_rng(2), tmp_path / "damaged"
    places = [*range(PREFIX.size), *rng.integers(PREFIX.size, len(whole), 60)]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        target.write_bytes(data)
        with pytest.raises(BundleError):
            open_forest(target)


@pytest.mark.parametrize("keep", [0, 1, 63, 64, 100, 3000, -1])
def test_a_cut_file_is_refused(tables, tmp_path, keep):
    (tmp_path / "cut").write_bytes(tables[0].read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"is damaged|is no forest"):
        open_forest(tmp_path / "cut")


def test_what_is_no_forest_is_told_apart_from_damage(tables, tmp_path):
    (tmp_path / "foreign").write_bytes(b"x" * 5000)
    with pytest.raises(BundleError, match="is no forest of tags"):
        open_forest(tmp_path / "foreign")
    with pytest.raises(BundleError, match="cannot be read"):
        open_forest(tmp_path / "missing")
    data = bytearray(tables[0].read_bytes())
    data[len(MAGIC)] = 9
    (tmp_path / "later").write_bytes(signed(data))
    with pytest.raises(BundleError, match="format 9, this program reads 1"):
        open_forest(tmp_path / "later")


def section(forest: ForestFile, name: str) -> int:
    return forest.header.sections[name].offset


@pytest.mark.parametrize(
    ("name", "offset", "value", "told"),
    [
        ("trees", 0, b"\xff\xff", "asks question 65535"),
        ("trees", 126, b"\x10", "shift is over 15"),
        ("tags", TAG.fields["first_tree"][1], b"\xff\xff\xff\x7f", "trees beyond the last"),
        ("tags", TAG.fields["linear"][1], b"\xff\x00\x00\x00", "linear term beyond"),
        ("tags", TAG.fields["knots"][1], b"\xff\x00\x00\x00", "knots beyond"),
        ("tags", TAG.fields["slope"][1], b"\x00\x00\x80\xbf", "does not rise"),
        ("tags", TAG.fields["base"][1], b"\x00\x00\xc0\x7f", "base is not finite"),
        ("cuts", 0, b"\x00\x00\x80\x7f", "cut is not finite"),
        ("cuts", 0, b"\x00\x00\x00\x7f", "do not ascend"),
        ("first_question", 0, b"\x01", "do not add up"),
        ("linear", 0, b"\x00\x00\xc0\x7f", "linear term is not finite"),
        ("names", 2, b"\xff", "contradicts itself"),
        ("names", 6, b"1", "stands twice"),
    ],
)
def test_a_forest_that_contradicts_itself_is_refused(tables, tmp_path, name, offset, value, told):
    data = bytearray(tables[0].read_bytes())
    at = section(open_forest(tables[0]), name) + offset
    data[at : at + len(value)] = value
    (tmp_path / "wrong").write_bytes(signed(data))
    with pytest.raises(BundleError, match=told):
        open_forest(tmp_path / "wrong")


def test_leaves_that_could_overflow_the_sum_are_refused(tables, tmp_path):
    rng = np.random.default_rng(4)
    book = drawn_codebook(rng)
    table = drawn_table(rng, book, "tall", 2)
    table.trees["shift"] = 15
    write_forest(tmp_path / "tall", book, "drawn", "1", [table])
    with pytest.raises(BundleError, match="more than 32 bits"):
        open_forest(tmp_path / "tall")


def test_a_copy_apart_is_not_changed_by_who_writes_to_the_file(tables, tmp_path):
    path = tmp_path / "tags.forest"
    path.write_bytes(tables[0].read_bytes())
    forest = open_forest(path, apart=True)
    with path.open("r+b") as file:
        file.truncate(10)
    assert table_at(forest, 6).digest() == tables[1][6].digest()


def test_the_records_are_what_the_documentation_says():
    assert (PREFIX.size, TREE.itemsize, TAG.itemsize) == (64, 256, 64)


def test_a_tag_without_trees_and_a_codebook_without_cuts_are_read(tmp_path):
    rng = np.random.default_rng(3)
    book = drawn_codebook(rng, dim=1)
    assert len(book.cuts) == 1
    write_forest(tmp_path / "small", book, "s", "v", [drawn_table(rng, book, "色", 0)])
    assert open_forest(tmp_path / "small").names == ["色"]
