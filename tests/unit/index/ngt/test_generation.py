import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.unit.index.indexing import IDENTITY, build_here, filled, open_directory, snapshot
from worker.errors import IndexDirectoryError
from worker.index.backend import IndexIdentity
from worker.index.ngt.generation import (
    DamagedGeneration,
    check_files,
    open_generation,
    read_manifest,
    write_manifest,
)
from worker.index.ngt.live import LiveIndex

HOUR = 3600.0


def test_a_generation_comes_back_as_it_was_written(tmp_path):
    live, vectors = filled(300)
    live.advance(2, 77)
    snapshot(live, open_directory(tmp_path))
    generation = open_directory(tmp_path).load_newest(HOUR)
    assert generation.name == "generation-00000001"
    assert generation.manifest.offsets == {0: 300, 2: 77}
    assert len(generation) == 300
    assert 0 <= generation.age() < 60
    for image_id, vector in vectors.items():
        assert np.array_equal(generation.vector(image_id), vector)
        nearest = generation.search(vector, 1, (), 0)
        assert nearest[0].image_id == image_id
        assert nearest[0].distance == pytest.approx(0, abs=1e-6)


def test_distances_are_cosine_distances(tmp_path):
    live, vectors = filled(50)
    generation = snapshot(live, open_directory(tmp_path))
    query = vectors["i3"]
    for near in generation.search(query, 50, (), 0):
        assert near.distance == pytest.approx(1 - float(vectors[near.image_id] @ query), abs=1e-6)


@pytest.fixture(scope="module")
def two_generations(tmp_path_factory):
    """A directory with two generations of 40 images, the newer without i0. To be copied."""
    place = tmp_path_factory.mktemp("two")
    directory = open_directory(place)
    live, _ = filled(40)
    snapshot(live, directory)
    live.delete("i0")
    snapshot(live, directory)
    return place


@pytest.mark.parametrize("name", ["ngt/grp", "ngt/obj", "ngt/tre", "ids.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damage_is_found_and_the_older_generation_used(two_generations, tmp_path, name, damage):
    shutil.copytree(two_generations, tmp_path, dirs_exist_ok=True)
    newer = tmp_path / "generation-00000002"
    file = newer / name
    raw = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(raw[: len(raw) // 2])
    else:
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    loaded = open_directory(tmp_path).load_newest(HOUR)
    assert loaded.name == "generation-00000001"
    assert "i0" in loaded
    assert not newer.exists()
    assert (tmp_path / "damaged-00000002").is_dir()


def test_a_new_generation_never_takes_the_number_of_a_damaged_one(tmp_path):
    live, _ = filled(5)
    newest = snapshot(live, open_directory(tmp_path))
    (newest.path / "ids.json").unlink()
    directory = open_directory(tmp_path)
    assert directory.load_newest(HOUR) is None
    assert open_directory(tmp_path).next_number() == 2


def test_an_id_map_that_does_not_fit_ngt_is_damage_even_with_right_checksums(tmp_path):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    manifest = read_manifest(path)
    write_manifest(path, manifest.model_copy(update={"objects": 6}))
    check_files(path, manifest)
    with pytest.raises(DamagedGeneration, match="5 objects"):
        open_generation(path, IDENTITY)


def test_an_old_generation_is_not_used(tmp_path, caplog):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    manifest = read_manifest(path)
    then = datetime.now(UTC) - timedelta(hours=2)
    write_manifest(path, manifest.model_copy(update={"created_at": then}))
    assert open_directory(tmp_path).load_newest(HOUR) is None
    assert "generation_max_age" in caplog.text
    assert open_directory(tmp_path).load_newest(3 * HOUR) is not None


@pytest.mark.parametrize("changed", [{"space": "other"}, {"dim": 8}, {"topic": "other"}])
def test_a_generation_of_another_index_is_refused(tmp_path, changed):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    with pytest.raises(IndexDirectoryError, match=r"index\.directory"):
        open_generation(path, IndexIdentity(**(IDENTITY.model_dump() | changed)))


def test_leftovers_of_a_crash_are_removed_and_generations_stay(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    snapshot(live, directory)
    (directory.start_work() / "half").write_text("x")
    (tmp_path / "discarded-generation-00000000").mkdir()
    open_directory(tmp_path).remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["generation-00000001"]


def test_a_build_that_crashed_before_the_rename_is_no_generation(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    live.delete("i4")
    work = directory.start_work()
    built = build_here(open_directory(tmp_path / "elsewhere"), live.freeze()).path
    built.rename(work / "generation")
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_prune_keeps_the_newest(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(3)
    for _ in range(4):
        snapshot(live, directory)
    directory.prune(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generation-00000003", "generation-00000004"]
    directory.discard_generations()
    assert list(tmp_path.iterdir()) == []


def test_hidden_ids_do_not_cost_results(tmp_path):
    live, vectors = filled(400)
    generation = snapshot(live, open_directory(tmp_path))
    query = vectors["i0"]
    order = sorted(vectors, key=lambda image_id: -float(vectors[image_id] @ query))
    hidden = set(order[:200])
    found = generation.search(query, 10, hidden, len(hidden))
    assert [near.image_id for near in found] == order[200:210]


def test_an_empty_generation_searches_and_grows(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(0)
    empty = snapshot(live, directory)
    assert json.loads((empty.path / "ids.json").read_bytes()) == {}
    live = LiveIndex(IDENTITY, open_directory(tmp_path).load_newest(HOUR))
    query = np.ones(IDENTITY.dim, np.float32) / 4
    assert live.search(query, 3) == []
    live.upsert("a", query)
    snapshot(live, directory)
    assert [near.image_id for near in live.search(query, 3)] == ["a"]
