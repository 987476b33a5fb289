import numpy as np
import pytest

from tests.unit.index.indexing import DIM, axis, turned, unit_rows
from worker.index.ngt.tail import Tail


def test_search_is_exact_beyond_the_first_capacity():
    rows = unit_rows(np.random.default_rng(1), 700)
    tail = Tail(DIM)
    for number, row in enumerate(rows):
        tail.upsert(str(number), row)
    query = rows[650]
    expected = np.argsort(1 - rows @ query)[:20]
    found = tail.search(query, 20, ())
    assert [near.image_id for near in found] == [str(number) for number in expected]
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    assert found[1].distance == pytest.approx(1 - rows[expected[1]] @ query, abs=1e-6)


def test_a_new_vector_takes_the_place_of_the_old_one():
    tail = Tail(DIM)
    tail.upsert("a", axis(0))
    tail.upsert("a", axis(1))
    assert len(tail) == 1
    assert np.array_equal(tail.vector("a"), axis(1))
    assert tail.search(axis(0), 5, ())[0].distance == pytest.approx(1)


def test_a_delete_keeps_the_other_rows_and_remembers_only_what_is_held_below():
    tail = Tail(DIM)
    for number in range(3):
        tail.upsert(str(number), axis(number))
    tail.delete("0", held_below=False)
    tail.delete("below", held_below=True)
    tail.delete("unknown", held_below=False)
    assert tail.ids == ["2", "1"]
    assert np.array_equal(tail.vector("2"), axis(2))
    assert tail.vector("0") is None
    assert tail.deleted == {"below"}
    assert "below" in tail
    assert "0" not in tail


def test_a_deleted_image_may_come_back():
    tail = Tail(DIM)
    tail.delete("a", held_below=True)
    tail.upsert("a", axis(3))
    assert tail.deleted == set()
    assert [near.image_id for near in tail.search(axis(3), 1, ())] == ["a"]


def test_hidden_ids_do_not_cost_results():
    tail = Tail(DIM)
    for number in range(50):
        tail.upsert(f"{number:02}", turned(axis(0), axis(1), 0.01 * number))
    hidden = {f"{number:02}" for number in range(40)}
    assert [near.image_id for near in tail.search(axis(0), 3, hidden)] == ["40", "41", "42"]
