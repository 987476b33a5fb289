"""What every IndexBackend keeps to: subclass BackendContract in a test module and say how to open one."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.search import SearchFilter
from tests.unit.index.indexing import DIM, axis, turned, unit_rows
from worker.index.attributes import Attributes
from worker.index.backend import IndexBackend

Vectors = dict[str, NDArray[np.float32]]


def assert_equals(index: IndexBackend, expected: Vectors, generator: np.random.Generator) -> None:
    """Every answer of `index` is the one of a brute-force search over `expected`."""
    assert index.size().vectors == len(expected)
    ids = sorted(expected)
    rows = np.stack([expected[image_id] for image_id in ids]) if ids else np.empty((0, DIM), np.float32)
    for query in unit_rows(generator, 3):
        distances = 1 - rows @ query
        order = np.argsort(distances)
        found = index.search(query, 8)
        assert [near.image_id for near in found] == [ids[row] for row in order[:8]]
        assert [near.distance for near in found] == pytest.approx(distances[order[:8]].tolist(), abs=1e-6)
        radius = float(distances.mean()) + 1e-6 if ids else 1.0
        within = {near.image_id for near in index.search(query, 1000, radius)}
        assert within == {image_id for image_id, d in zip(ids, distances, strict=True) if d <= radius}


def drawn_attributes(chance: random.Random) -> Attributes:
    return Attributes(
        category=chance.choice(["shoes", "hats", "rare", None]),
        listing_id=f"l{chance.randrange(8)}",
        tags=tuple(chance.sample(["red", "blue", "new", "目"], chance.randrange(4))),
        uploaded=chance.choice([None, *range(0, 9_000_000, 1_000_000)]),
        preferences={
            name: chance.randrange(5) / 4
            for name in chance.sample(["quality", "clicks"], chance.randrange(3))
        },
    )


def drawn_filter(chance: random.Random) -> SearchFilter:
    seconds = sorted(chance.sample(range(9), 2))
    each = {
        "categories": chance.sample(["shoes", "hats", "rare", "never"], 2),
        "listing_ids": [f"l{number}" for number in chance.sample(range(12), 3)],
        "tags": chance.sample(["red", "blue", "new", "目", "never"], chance.randrange(1, 3)),
        "uploaded_from": datetime.fromtimestamp(seconds[0], UTC),
        "uploaded_before": datetime.fromtimestamp(seconds[1], UTC),
    }
    chosen = chance.sample(sorted(each), chance.randrange(1, 3))
    return SearchFilter.model_validate({name: each[name] for name in chosen})


def lets_in(where: SearchFilter, known: Attributes) -> bool:
    """What a filter says, image by image."""
    time = None if known.uploaded is None else datetime.fromtimestamp(known.uploaded / 1e6, UTC)
    return (
        (not where.categories or known.category in where.categories)
        and (not where.listing_ids or known.listing_id in where.listing_ids)
        and set(where.tags) <= set(known.tags)
        and (where.uploaded_from is None or (time is not None and time >= where.uploaded_from))
        and (where.uploaded_before is None or (time is not None and time < where.uploaded_before))
    )


def assert_filters(index, expected, chance, generator) -> None:
    """Filtered answers are those of a brute-force search over what of `expected` is let in; all is known."""
    asked = [*expected, "never"]
    held = [known for _, known in expected.values()]
    assert [dict(each.preferences) for each in index.attributes_of(asked)] == [
        *(dict(known.preferences) for known in held),
        {},
    ]
    assert [(each.category, set(each.tags), each.uploaded) for each in index.attributes_of(expected)] == [
        (known.category, set(known.tags), known.uploaded) for known in held
    ]
    for query in unit_rows(generator, 5):
        where = drawn_filter(chance)
        distances = {i: 1 - row @ query for i, (row, known) in expected.items() if lets_in(where, known)}
        nearest = sorted(distances, key=lambda image_id: distances[image_id])
        assert ids(index.search(query, 5, None, where)) == nearest[:5], where


def ids(found):
    return [near.image_id for near in found]


class BackendContract(ABC):
    """The contract. `turn` must be all that the backend needs to make changes durable."""

    @abstractmethod
    def open(self, place: Path) -> IndexBackend:
        """The index that was closed at `place`, or an empty one; of tests.unit.index.indexing.IDENTITY."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[IndexBackend]:
        """An empty index."""
        with closing(self.open(tmp_path)) as opened:
            yield opened

    def reopened(self, index: IndexBackend, place: Path) -> IndexBackend:
        """`index` after a restart."""
        self.flush(index)
        index.close()
        return self.open(place)

    def flush(self, index: IndexBackend) -> None:
        """House-keeping until nothing is left to be done."""
        for _ in range(100):
            index.turn()
            if index.size().tail == 0:
                return
        raise AssertionError(f"{index.size().tail} changes are never taken in")

    @pytest.mark.parametrize("seed", range(5))
    def test_any_sequence_of_changes_and_turns_equals_brute_force(self, index, tmp_path, seed):
        chance, generator = random.Random(seed), np.random.default_rng(seed)
        expected: Vectors = {}
        for step in range(300):
            image_id, dice = f"i{chance.randrange(60)}", chance.random()
            if dice < 0.55:
                vector = unit_rows(generator, 1)[0]
                index.upsert(image_id, vector)
                expected[image_id] = vector
            elif dice < 0.9:
                index.delete(image_id)
                expected.pop(image_id, None)
            else:
                index.turn()
            found = index.vector(image_id)
            assert (found is None) == (image_id not in expected)
            assert found is None or np.array_equal(found, expected[image_id])
            if step % 10 == 0:
                assert_equals(index, expected, generator)
        self.flush(index)
        assert_equals(index, expected, generator)
        index.close()
        with closing(self.open(tmp_path)) as again:
            assert_equals(again, expected, generator)

    @pytest.mark.parametrize("seed", range(2))
    def test_filters_let_in_what_they_say_through_deletes_re_uploads_and_turns(self, index, tmp_path, seed):
        chance, generator = random.Random(seed), np.random.default_rng(seed)
        expected: dict[str, tuple[NDArray[np.float32], Attributes]] = {}
        for step in range(200):
            image_id, dice = f"i{chance.randrange(50)}", chance.random()
            if dice < 0.7:
                held = unit_rows(generator, 1)[0], drawn_attributes(chance)
                index.upsert(image_id, *held)
                expected[image_id] = held
            elif dice < 0.9:
                index.delete(image_id)
                expected.pop(image_id, None)
            else:
                index.turn()
            if step % 20 == 0:
                assert_filters(index, expected, chance, generator)
        self.flush(index)
        assert_filters(index, expected, chance, generator)
        index.close()
        with closing(self.open(tmp_path)) as again:
            assert_filters(again, expected, chance, generator)

    def test_a_change_is_searchable_when_it_returns_for_every_thread(self, index):
        with ThreadPoolExecutor(1) as other:
            for number in range(DIM):
                index.upsert("a", axis(number))
                assert other.submit(index.search, axis(number), 1).result()[0].distance < 1e-6
            index.delete("a")
            assert other.submit(index.search, axis(0), 1).result() == []

    def test_an_image_is_found_by_its_latest_vector_alone(self, index):
        index.upsert("a", axis(0))
        self.flush(index)
        index.upsert("a", axis(1))
        assert ids(index.search(axis(0), 5, radius=0.5)) == []
        assert ids(index.search(axis(1), 5, radius=0.5)) == ["a"]
        assert np.array_equal(index.vector("a"), axis(1))
        assert index.size().vectors == 1

    @pytest.mark.parametrize("flushed", [True, False])
    def test_a_deleted_image_is_not_found_and_may_come_back(self, index, flushed):
        index.upsert("a", axis(0))
        index.upsert("b", turned(axis(0), axis(1), 0.1))
        if flushed:
            self.flush(index)
        index.delete("a")
        assert ids(index.search(axis(0), 5)) == ["b"]
        assert index.vector("a") is None
        index.upsert("a", axis(0))
        assert ids(index.search(axis(0), 5)) == ["a", "b"]

    def test_a_delete_of_an_unknown_image_changes_nothing(self, index):
        index.upsert("a", axis(0))
        index.delete("never")
        assert (index.size().vectors, index.size().tail) == (1, 1)
        assert ids(index.search(axis(0), 5)) == ["a"]

    def test_everything_may_be_deleted(self, index):
        for number in range(10):
            index.upsert(f"i{number}", axis(number))
        self.flush(index)
        for number in range(10):
            index.delete(f"i{number}")
        assert index.search(axis(0), 5) == []
        self.flush(index)
        assert index.search(axis(0), 5) == []
        assert index.size().vectors == 0

    def test_distances_go_from_nought_to_two(self, index):
        vectors = {f"i{n}": row for n, row in enumerate(unit_rows(np.random.default_rng(7), 60))}
        for image_id, vector in vectors.items():
            index.upsert(image_id, vector)
        for flushed in (False, True):
            if flushed:
                self.flush(index)
            for image_id, vector in vectors.items():
                nearest, farthest = index.search(vector, 1)[0], index.search(-vector, 1000)[-1]
                assert (nearest.image_id, farthest.image_id) == (image_id, image_id)
                assert 0 <= nearest.distance < 1e-6
                assert 2 - 1e-6 < farthest.distance <= 2

    def test_groups_and_copy_vectors_are_kept(self, index, tmp_path):
        for number in range(6):
            copy = None if number == 3 else np.float32([0.6, 0.8, number])
            known = Attributes(group=None if number == 4 else f"{number + 1:016x}", copy_vector=copy)
            index.upsert(f"i{number}", axis(number), known)
        index.upsert("i5", axis(5), Attributes(group="f" * 16))
        expected = [f"{1:016x}", f"{4:016x}", None, "f" * 16, None]

        def hold(opened):
            found = opened.attributes_of(["i0", "i3", "i4", "i5", "never"])
            assert [each.group for each in found] == expected
            assert [each.copy_vector is None for each in found] == [False, True, False, True, True]
            assert np.array_equal(found[2].copy_vector, np.float32([0.6, 0.8, 4]))

        hold(index)
        self.flush(index)
        hold(index)
        with closing(self.reopened(index, tmp_path)) as again:
            hold(again)

    def test_a_distance_is_the_same_wherever_the_vector_lies(self, index):
        """Else the order of results would change by itself, and pages of them repeat what was shown."""
        vectors = unit_rows(np.random.default_rng(8), 50)
        for number, vector in enumerate(vectors):
            index.upsert(f"i{number}", vector)
        before = index.search(vectors[0], 50)
        self.flush(index)
        for number, vector in enumerate(vectors[:20]):
            index.upsert(f"i{number}", vector)
        assert index.search(vectors[0], 50) == before
        assert index.search(vectors[0], 7) == before[:7]

    def test_offsets_are_those_of_the_last_advance(self, index):
        assert index.offsets() == {}
        index.advance(0, 5)
        index.advance(3, 1)
        index.advance(0, 8)
        assert index.offsets() == {0: 8, 3: 1}
        index.offsets().clear()
        assert index.offsets() == {0: 8, 3: 1}

    def test_a_restart_gives_the_same(self, index, tmp_path):
        for number in range(10):
            index.upsert(f"i{number}", axis(number))
        index.advance(0, 10)
        index.catch_up()
        with closing(self.reopened(index, tmp_path)) as again:
            assert again.identity == index.identity
            assert again.size().vectors == 10
            assert again.offsets() == {0: 10}
            assert all(np.array_equal(again.vector(f"i{n}"), axis(n)) for n in range(10))
            again.upsert("more", axis(10))
            again.delete("i0")
            assert ids(again.search(axis(10), 1)) == ["more"]
            assert again.vector("i0") is None

    def test_what_a_crash_left_never_goes_beyond_its_offsets(self, index, tmp_path):
        index.upsert("kept", axis(0))
        index.advance(0, 1)
        self.flush(index)
        index.upsert("later", axis(1))
        index.advance(0, 2)
        index.close()  # no turn in between: as a crash leaves it
        with closing(self.open(tmp_path)) as again:
            assert again.vector("kept") is not None
            assert again.offsets()[0] == (2 if again.vector("later") is not None else 1)

    def test_clear_forgets_everything_also_over_a_restart(self, index, tmp_path):
        for number in range(10):
            index.upsert(f"i{number}", axis(number))
        index.advance(0, 10)
        self.flush(index)
        index.upsert("more", axis(10))
        index.clear()
        assert index.size().vectors == 0
        assert index.offsets() == {}
        assert index.search(axis(0), 3) == []
        index.close()
        with closing(self.open(tmp_path)) as again:
            assert again.size().vectors == 0
            assert again.offsets() == {}

    def test_a_snapshot_is_of_now_or_there_is_none(self, index):
        index.catch_up()
        index.upsert("a", axis(0))
        self.flush(index)
        snapshot = index.snapshot()
        assert snapshot is None or (snapshot.name and 0 <= snapshot.age() < 60)

    def test_closing_twice_leaves_the_place_to_the_next(self, index, tmp_path):
        index.close()
        index.close()
        with closing(self.open(tmp_path)) as again:
            again.upsert("a", axis(0))
            index.close()
            assert ids(again.search(axis(0), 1)) == ["a"]
