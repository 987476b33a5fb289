"""Parts of a live index: what counts in which of them, and what a failed build leaves."""

import threading

import numpy as np
import pytest

from tests.unit.index.indexing import (
    IDENTITY,
    axis,
    build_here,
    filled,
    open_directory,
    snapshot,
    turned,
    unit_rows,
)
from worker.index.backend import Change
from worker.index.neighbour import cosine_distances
from worker.index.ngt.live import LiveIndex


def ids(found):
    return [near.image_id for near in found]


def test_what_is_frozen_stays_the_same_until_it_is_taken_in(tmp_path):
    live, vectors = filled(20)
    first = live.freeze()
    live.delete("i3")
    live.advance(0, 21)
    assert live.freeze() is first
    assert first.offsets == {0: 20}
    assert live.size().tail == 21
    snapshot(live, open_directory(tmp_path))
    assert live.vector("i3") is None
    assert live.offsets() == {0: 21}
    assert live.size().vectors == len(vectors) - 1
    assert open_directory(tmp_path).load_newest(60).segments[0].living == 20, "as its offsets say"


def test_a_build_in_progress_hides_nothing(tmp_path):
    live = LiveIndex(IDENTITY, None)
    live.upsert("old", axis(0))
    snapshot(live, open_directory(tmp_path))
    live.upsert("frozen", turned(axis(0), axis(1), 0.1))
    live.freeze()
    live.upsert("new", turned(axis(0), axis(1), 0.2))
    assert ids(live.search(axis(0), 5)) == ["old", "frozen", "new"]
    live.upsert("frozen", axis(5))
    live.delete("old")
    assert ids(live.search(axis(0), 5)) == ["new", "frozen"]
    assert live.size().vectors == 2


def test_changes_during_a_merge_are_carried_over(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(10)
    snapshot(live, directory)
    live.upsert("more", axis(2))
    snapshot(live, directory)
    batch = live.batch_of(live.segments)
    live.delete("i1")
    live.upsert("i2", axis(9))
    segment = build_here(directory, batch)
    segments = live.merged(batch, segment)
    assert segments == (segment,)
    live.replace(segments, live.manifest)
    assert live.vector("i1") is None
    assert np.array_equal(live.vector("i2"), axis(9))
    assert np.array_equal(live.vector("i3"), vectors["i3"])
    assert len(live.search(axis(0), 50)) == live.size().vectors == 10


def test_near_duplicates_are_those_of_the_moment_of_each_change(tmp_path):
    live, _ = filled(0)
    near = turned(axis(0), axis(1), 0.05)
    changes = [("a", axis(0)), ("b", near), ("a", None), ("c", axis(0)), ("b", axis(5)), ("d", axis(0))]
    found = live.change_each([Change(*each) for each in changes], 5, 0.01)
    assert [ids(each.similar) for each in found] == [[], ["a"], [], ["b"], [], ["c"]]
    snapshot(live, open_directory(tmp_path))
    found = live.change_each([Change("e", axis(0)), Change("d", None), Change("f", axis(0))], 5, 0.01)
    assert [ids(each.similar) for each in found] == [["c", "d"], [], ["c", "e"]]
    assert live.change_each([], 5, 0.01) == []


@pytest.fixture
def changed(tmp_path):
    """A live index of every kind of part, in all of which images count no more, and its vectors by id."""
    directory = open_directory(tmp_path)
    live, vectors = filled(1300)
    rows, random = unit_rows(np.random.default_rng(8), 300), np.random.default_rng(9)

    def put(image_id, row):
        live.upsert(image_id, row)
        vectors[image_id] = row

    snapshot(live, directory)
    for number in range(60):  # a segment that is compared whole, with equal vectors
        put(f"more{number:02}", rows[number // 3])
    snapshot(live, directory)
    for first in (0, 100):
        for number in range(40):
            put(f"new{first + number}", rows[60 + first + number])
            put(f"i{random.integers(1300)}", rows[number])
        if first == 0:
            live.freeze()
    gone = sorted(vectors, key=lambda image_id: -float(vectors[image_id] @ axis(1)))[:120]
    for image_id in [*gone, *random.choice(sorted(vectors), 100)]:
        live.delete(image_id)
        vectors.pop(image_id, None)
    return live, vectors


def test_searches_made_together_find_what_each_finds_alone(changed):
    live, vectors = changed
    names, rows = [*vectors], np.stack([*vectors.values()])
    queries = np.concatenate([[axis(1)], unit_rows(np.random.default_rng(2), 9), rows[::90]])
    for count in (1, 10, 150):
        found = live.search_each(queries, count, live.view)
        assert found == [live.search(query, count) for query in queries]
        exact = live.search_each(queries, count, live.view, exactly=True)
        for query, each in zip(queries, exact, strict=True):
            distances = zip(cosine_distances(rows, query).tolist(), names, strict=True)
            assert [(near.distance, near.image_id) for near in each] == sorted(distances)[:count]
        hits = sum(len({*near} & {*each}) for near, each in zip(found, exact, strict=True))
        assert hits >= 0.99 * count * len(queries)


def test_equal_vectors_are_all_found(tmp_path):
    live, _ = filled(1500)
    for number in range(3000):
        live.upsert(f"copy{number:04}", axis(3))
    snapshot(live, open_directory(tmp_path))
    assert live.segments[0].manifest.vectors == 1501
    assert ids(live.search(axis(3), 3000)) == [f"copy{number:04}" for number in range(3000)]
    assert ids(live.search(axis(3), 2)) == ["copy0000", "copy0001"]
    for number in range(2999):
        live.delete(f"copy{number:04}")
    assert ids(live.search(axis(3), 1)) == ["copy2999"]


def test_every_stored_vector_finds_itself(tmp_path):
    live, vectors = filled(1500)
    snapshot(live, open_directory(tmp_path))
    assert live.segments[0].manifest.graph
    assert all(ids(live.search(row, 1)) == [image_id] for image_id, row in list(vectors.items())[::5])


def test_a_replaced_image_is_found_at_every_moment():
    live = LiveIndex(IDENTITY, None)
    live.upsert("a", axis(0))
    missed, stopping = [], threading.Event()

    def look():
        while not stopping.is_set():
            if ids(live.search(axis(0), 2)) != ["a"] or live.vector("a") is None:
                missed.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for row in unit_rows(np.random.default_rng(1), 3000):
        live.upsert("a", row)
    stopping.set()
    reader.join()
    assert missed == []
