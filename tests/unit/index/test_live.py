import random

import numpy as np
import pytest

from tests.unit.index.indexing import (
    DIM,
    IDENTITY,
    axis,
    build_here,
    filled,
    open_directory,
    snapshot,
    turned,
    unit_rows,
)
from worker.index.ngt.live import LiveIndex


def assert_equals(live, expected, generator):
    """Every answer of `live` is the one of a brute-force search over `expected`."""
    assert live.size().vectors == len(expected)
    ids = sorted(expected)
    rows = np.stack([expected[image_id] for image_id in ids]) if ids else np.empty((0, DIM), np.float32)
    for query in unit_rows(generator, 3):
        distances = 1 - rows @ query
        nearest = np.argsort(distances)
        found = live.search(query, 8)
        assert [near.image_id for near in found] == [ids[row] for row in nearest[:8]]
        assert [near.distance for near in found] == pytest.approx(distances[nearest[:8]].tolist(), abs=1e-6)
        radius = float(distances.mean()) if ids else 1.0
        within = {near.image_id for near in live.search(query, 1000, radius)}
        assert within == {image_id for image_id, d in zip(ids, distances, strict=True) if d <= radius}


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_changes_and_builds_equals_brute_force(tmp_path, seed):
    chance, generator = random.Random(seed), np.random.default_rng(seed)
    directory = open_directory(tmp_path)
    live, expected, building = LiveIndex(IDENTITY, None), {}, None
    for step in range(300):
        image_id, dice = f"i{chance.randrange(60)}", chance.random()
        if dice < 0.55:
            vector = unit_rows(generator, 1)[0]
            live.upsert(image_id, vector)
            expected[image_id] = vector
        elif dice < 0.9:
            assert live.delete(image_id) == (image_id in expected)
            expected.pop(image_id, None)
        elif dice < 0.95:
            building = live.freeze()
        elif building is not None:  # finished, or found failed and tried again from what was set aside
            live.swap(build_here(directory, building, afresh=chance.random() < 0.2))
            directory.prune(2)
            building = None
        found = live.vector(image_id)
        assert (found is None) == (image_id not in expected)
        assert found is None or np.array_equal(found, expected[image_id])
        if step % 10 == 0:
            assert_equals(live, expected, generator)
    snapshot(live, directory)
    snapshot(live, directory)
    assert live.size().tail == 0
    assert_equals(live, expected, generator)
    assert_equals(LiveIndex(IDENTITY, open_directory(tmp_path).load_newest(60)), expected, generator)


def test_a_failed_build_loses_nothing_and_freezes_the_same_again(tmp_path):
    live, vectors = filled(20)
    first = live.freeze()
    live.delete("i3")
    live.advance(0, 21)
    assert live.freeze() is first
    assert first.offsets == {0: 20}
    assert live.size().tail == 21
    live.swap(build_here(open_directory(tmp_path), first))
    assert live.vector("i3") is None
    assert live.offsets() == {0: 21}
    assert live.size().vectors == len(vectors) - 1


def test_a_build_in_progress_hides_nothing(tmp_path):
    live = LiveIndex(IDENTITY, None)
    live.upsert("old", axis(0))
    snapshot(live, open_directory(tmp_path))
    live.upsert("frozen", turned(axis(0), axis(1), 0.1))
    live.freeze()
    live.upsert("new", turned(axis(0), axis(1), 0.2))
    assert [near.image_id for near in live.search(axis(0), 5)] == ["old", "frozen", "new"]
    live.upsert("frozen", axis(5))
    live.delete("old")
    assert [near.image_id for near in live.search(axis(0), 5)] == ["new", "frozen"]
    assert live.size().vectors == 2


def test_neighbours_leave_the_image_itself_out():
    live = LiveIndex(IDENTITY, None)
    live.upsert("a", axis(0))
    live.upsert("b", axis(0))
    assert [near.image_id for near in live.neighbours_of("a", axis(0), 1)] == ["b"]
    assert live.neighbours_of("c", axis(1), 5, radius=0.1) == []


def test_opposite_vectors_are_at_distance_two_and_no_farther(tmp_path):
    live, vectors = filled(200)
    for tail in (len(vectors), 0):
        assert live.size().tail == tail
        for image_id, vector in vectors.items():
            farthest = live.search(-vector, 1000)[-1]
            assert farthest.image_id == image_id
            assert 2 - 1e-6 < farthest.distance <= 2
        snapshot(live, open_directory(tmp_path))


def test_clear_forgets_everything(tmp_path):
    live, vectors = filled(20)
    snapshot(live, open_directory(tmp_path))
    live.upsert("more", axis(0))
    live.clear()
    assert live.size().vectors == 0
    assert live.offsets() == {}
    assert live.search(vectors["i0"], 3) == []
