"""The copy vectors of a segment: as they were written, of which space, of a release without cells."""

import shutil

import numpy as np
import pytest

from schemas.bundle import CopyHead
from tests.unit.index.indexing import IDENTITY, axis, filled, snapshot, unit_rows
from worker.index.attributes import Attributes
from worker.index.ngt.copies import COPIES, NO_SPACE, are_of, common_space, group_copies, read_copies
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.live import LiveIndex
from worker.index.offline.verify import verify

HEAD = CopyHead(output="copy", dim=16, space="mine", near_duplicate_distance=0.1)
HOUR = 3600.0


def vectors(count=400):
    """Every third image has none."""
    rows = unit_rows(np.random.default_rng(4), count)
    rows[::3] = np.nan
    return rows


def pairs(copies, queries, radius=0.4):
    found = copies.within(queries, radius)
    return {(query, position) for query, positions, _ in found for position in positions.tolist()}


def built(path, copy_space, rows):
    """A directory with one segment of images that have `rows` as copy vectors."""
    directory = IndexDirectory(path, IDENTITY, copy_space)
    path.mkdir(exist_ok=True)
    live, _ = filled(0)
    for number, row in enumerate(rows):
        known = Attributes(copy_vector=None if np.isnan(row[0]) else row)
        live.upsert(f"i{number}", axis(number % 16), known)
    snapshot(live, directory)
    return directory


def test_within_is_exact_and_finds_by_position():
    rows = vectors()
    queries = unit_rows(np.random.default_rng(5), 30)
    near = {(q, p) for q, p in np.argwhere(1 - queries @ np.nan_to_num(rows).T <= 0.4).tolist()}
    assert near
    assert pairs(group_copies("s", rows), queries) == near
    assert pairs(group_copies("s", rows), queries[:, :5]) == set(), "of another dimension"
    assert pairs(group_copies("s", rows[::3]), queries) == set(), "none has one"


def test_a_directory_of_an_earlier_release_upgrades_by_itself(tmp_path):
    rows = vectors()
    built(tmp_path, None, rows)
    directory = IndexDirectory(tmp_path, IDENTITY, HEAD.space)
    generation = directory.load_newest(HOUR, HEAD)
    (segment,) = generation.segments
    assert not (segment.path / COPIES).exists()
    queries = unit_rows(np.random.default_rng(6), 10)
    found = segment.copies_within(queries, 0.4, [0] * 10)
    assert sum(map(len, found)) == (1 - queries @ np.nan_to_num(rows).T <= 0.4).sum() > 0
    live = LiveIndex(IDENTITY, generation)
    live.upsert("new", axis(0), Attributes(copy_vector=axis(1)))
    written = snapshot(live, directory)
    assert read_copies(written.path, np.array([axis(1)])).space == "mine"
    assert directory.load_newest(HOUR, HEAD) is not None


@pytest.mark.parametrize(
    ("copy_space", "rows"),
    [("other", vectors(9)), (NO_SPACE, vectors(9)), (None, vectors(1)), (None, vectors(9)[:, :5])],
    ids=["another space", "none were kept", "none are there", "another dimension"],
)
def test_one_without_the_copy_vectors_of_the_bundle_is_rebuilt_from_the_log(
    tmp_path, caplog, copy_space, rows
):
    directory = built(tmp_path, copy_space, rows)
    assert directory.load_newest(HOUR, HEAD) is None
    assert "rebuilt from the log" in caplog.text
    assert directory.load_newest(HOUR) is not None, "a bundle without a copy head asks for none"


@pytest.mark.parametrize("name", ["positions.npy", "starts.npy", "centroids.npy", "space.json"])
def test_damage_is_found(tmp_path, name):
    directory = built(tmp_path, "mine", vectors(9))
    assert directory.load_newest(HOUR, HEAD) is not None
    file = tmp_path / "segment-00000001" / COPIES / name
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    assert any(name in fault for _, faults in verify(tmp_path) for fault in faults)
    assert directory.load_newest(HOUR, HEAD) is None


def test_cells_of_other_vectors_are_refused(tmp_path):
    one, other = (
        built(tmp_path / name, "mine", rows) for name, rows in (("a", vectors(9)), ("b", vectors(6)))
    )
    shutil.rmtree(one.path / "segment-00000001" / COPIES)
    shutil.copytree(other.path / "segment-00000001" / COPIES, one.path / "segment-00000001" / COPIES)
    with pytest.raises(ValueError, match="not of the copy vectors"):
        read_copies(one.path / "segment-00000001", vectors(9))


def test_the_space_of_several_segments():
    named, other, unnamed = (group_copies(space, vectors(4)) for space in ("mine", "other", None))
    assert common_space([]) is None
    assert common_space([unnamed, named]) == "mine"
    assert common_space([named, other]) == NO_SPACE
    assert are_of([], "mine", 16)
    assert are_of([named, unnamed], "mine", 16)
    assert not are_of([named, other], "mine", 16)
