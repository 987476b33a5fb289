import os

import numpy as np
import pytest

from tests.unit.index.indexing import filled, open_directory, snapshot, unit_rows
from worker.index.ngt.generation import read_ids


def test_object_ids_that_ngt_gives_again_belong_to_the_new_image(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(100)
    before = read_ids(snapshot(live, directory).path)
    for number in range(10, 20):
        live.delete(f"i{number}")
        del vectors[f"i{number}"]
    for number, row in enumerate(unit_rows(np.random.default_rng(3), 15)):
        live.upsert(f"new{number}", row)
        vectors[f"new{number}"] = row
    generation = snapshot(live, directory)
    after = read_ids(generation.path)
    given_again = {before[f"i{n}"] for n in range(10, 20)} & {after[f"new{n}"] for n in range(15)}
    assert given_again, "NGT reuses removed ids: without that this test shows nothing"
    assert set(after) == set(vectors)
    for image_id, vector in vectors.items():
        assert np.array_equal(generation.vector(image_id), vector)
        assert generation.search(vector, 1, (), 0)[0].image_id == image_id


@pytest.mark.parametrize(("deleted", "removed"), [(20, 20), (60, 0)])
def test_the_graph_is_made_afresh_after_many_removals(tmp_path, deleted, removed):
    directory = open_directory(tmp_path)
    live, vectors = filled(100)
    snapshot(live, directory)
    for number in range(deleted):
        live.delete(f"i{number}")
        del vectors[f"i{number}"]
    generation = snapshot(live, directory)
    assert generation.manifest.removed == removed
    assert len(generation) == 100 - deleted
    for image_id, vector in vectors.items():
        assert generation.search(vector, 1, (), 0)[0].image_id == image_id


def test_removals_add_up_over_generations(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(100)
    snapshot(live, directory)
    counts = []
    for _ in range(3):
        for number in range(14):
            live.upsert(f"i{number}", -vectors[f"i{number}"])
        counts.append(snapshot(live, directory).manifest.removed)
    assert counts == [14, 0, 14]


def test_everything_deleted(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(30)
    snapshot(live, directory)
    for image_id in vectors:
        live.delete(image_id)
    assert live.search(vectors["i0"], 5) == []
    assert len(snapshot(live, directory)) == 0
    assert live.search(vectors["i0"], 5) == []
    assert live.size().vectors == 0


def test_asked_afresh_the_same_images_are_held(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(30)
    snapshot(live, directory)
    live.delete("i1")
    generation = snapshot(live, directory, afresh=True)
    assert generation.manifest.removed == 0
    assert set(read_ids(generation.path)) == set(vectors) - {"i1"}


def test_every_file_is_durable_before_the_generation_is_published(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    live, _ = filled(5)
    directory = open_directory(tmp_path)
    publish = directory.publish

    def published(built, number):
        for path in [built, *built.rglob("*")]:
            assert path.stat().st_ino in synced, path
        synced.clear()
        return publish(built, number)

    monkeypatch.setattr(directory, "publish", published)
    generation = snapshot(live, directory)
    assert len(list(generation.path.rglob("*"))) >= 8
    assert synced == [tmp_path.stat().st_ino], "the rename itself"
