"""Which generations a directory holds, keeps and goes on from."""

import hashlib
import shutil
from datetime import UTC, datetime

import pytest

from tests.unit.index.indexing import IDENTITY, axis, filled, manifest_of, open_directory, snapshot
from worker.errors import IndexDirectoryError
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import read_manifest
from worker.index.ngt.live import LiveIndex

HOUR = 3600.0


def names(path):
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def two(tmp_path):
    """A directory with two generations: of 5 images, then of 4."""
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    snapshot(live, directory)
    live.delete("i0")
    snapshot(live, directory)
    return directory


def images(generation):
    return sum(segment.living for segment in generation.segments)


def test_the_newest_is_gone_on_from(two):
    assert images(two.load_newest(HOUR)) == 4


FILES = ["vectors.npy", "ids.json", "manifest.json", "members.npy", "objects.npy", "starts.npy"]


@pytest.mark.parametrize("name", [*FILES, "centroids.npy"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damage_to_a_new_segment_is_found_and_the_older_generation_used(two, tmp_path, name, damage):
    live = LiveIndex(IDENTITY, two.load_newest(HOUR))
    live.upsert("newer", axis(0))
    file = snapshot(live, two).path / name
    raw = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(raw[: len(raw) // 2])
    else:
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    loaded = open_directory(tmp_path).load_newest(HOUR)
    assert loaded.manifest.name == "generation-00000002"
    assert images(loaded) == 4
    assert "damaged-generation-00000003" in names(tmp_path)
    assert "damaged-segment-00000002" in names(tmp_path)
    assert open_directory(tmp_path).next_number() == 4, "it never takes the number of a damaged one"


def test_a_missing_segment_is_damage(two, tmp_path):
    shutil.rmtree(tmp_path / "segment-00000001")
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_one_that_is_too_old_or_of_an_earlier_release_is_not_used(two, tmp_path, caplog):
    assert two.load_newest(0) is None
    assert "generation_max_age" in caplog.text
    assert two.load_newest(HOUR) is not None
    raw = b'{"format": 1}'
    old = tmp_path / "generation-00000009"
    old.mkdir()
    (old / "manifest.json").write_bytes(raw)
    (old / "manifest.json.sha256").write_text(hashlib.sha256(raw).hexdigest())
    assert two.load_newest(HOUR) is None
    assert "earlier release" in caplog.text


def test_one_of_another_index_is_refused(two, tmp_path):
    other = IndexDirectory(tmp_path, IDENTITY.model_copy(update={"space": "other"}))
    with pytest.raises(IndexDirectoryError, match=r"index\.directory"):
        other.load_newest(HOUR)


def test_leftovers_of_a_crash_are_removed_and_the_rest_stays(two, tmp_path):
    (two.start_work() / "half").write_text("x")
    (tmp_path / "discarded-generation-00000000").mkdir()
    before = images(two.load_newest(HOUR))
    two.remove_leftovers()
    assert names(tmp_path) == ["generation-00000001", "generation-00000002", "segment-00000001"]
    assert images(two.load_newest(HOUR)) == before
    assert two.bytes() > 1000


def test_an_empty_directory_has_none(tmp_path):
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_numbers_go_on_and_are_never_given_again(two, tmp_path):
    assert two.next_number() == 3
    assert two.next_number() == 4
    (tmp_path / "damaged-generation-00000007").mkdir()
    assert open_directory(tmp_path).next_number() == 8


def test_what_is_called_otherwise_is_no_generation(tmp_path):
    for name in ("generation-1", "generation-00000001.old", "lost+found"):
        (tmp_path / name).mkdir()
    directory = open_directory(tmp_path)
    assert directory.load_newest(HOUR) is None
    directory.prune(0)
    assert names(tmp_path) == ["generation-00000001.old", "generation-1", "lost+found"]


def test_pruning_keeps_the_newest_and_one_damaged(two, tmp_path):
    for number in (7, 8):
        (tmp_path / f"damaged-generation-{number:08d}").mkdir()
    for number in (8, 9):
        (tmp_path / f"segment-{number:08d}").mkdir()
    two.prune(1, ["segment-00000009"])
    left = ["damaged-generation-00000008", "generation-00000002", "segment-00000001", "segment-00000009"]
    assert names(tmp_path) == left


def test_discarding_leaves_what_is_kept_to_be_looked_at(two, tmp_path):
    (tmp_path / "damaged-generation-00000007").mkdir()
    two.discard_generations()
    assert names(tmp_path) == ["damaged-generation-00000007"]
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_publishing_is_one_rename(tmp_path):
    directory = open_directory(tmp_path)
    manifest = manifest_of(directory, [], 0, {}, datetime.now(UTC))
    directory.publish(manifest)
    assert names(tmp_path) == ["generation-00000001"]
    assert read_manifest(tmp_path / "generation-00000001") == manifest


def test_two_builds_never_share_a_work_directory(tmp_path):
    directory = open_directory(tmp_path)
    assert directory.start_work() != directory.start_work()
