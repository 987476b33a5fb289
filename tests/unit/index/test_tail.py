import numpy as np
import pytest

from tests.unit.index.indexing import DIM, axis, searched, turned, unit_rows
from worker.index.candidates import NEVER
from worker.index.tail import Tail

NO_LIMIT = np.full(1, np.inf, np.float32)


def ids(found):
    return [near.image_id for near in found]


def test_search_is_exact_beyond_the_first_capacity():
    rows = unit_rows(np.random.default_rng(1), 700)
    tail = Tail(DIM)
    for number, row in enumerate(rows):
        tail.append(str(number), row)
    query = rows[650]
    expected = np.argsort(1 - rows @ query)[:20]
    found = searched(tail, query, 20, 700, 0, NO_LIMIT)
    assert ids(found) == [str(number) for number in expected]
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    assert found[1].distance == pytest.approx(1 - rows[expected[1]] @ query, abs=1e-6)


def test_a_reader_sees_its_own_length_and_change():
    tail = Tail(DIM)
    for number in range(3):
        tail.append(str(number), axis(number))
    tail.died[1] = 7
    assert sorted(ids(searched(tail, axis(0), 5, 3, 6, NO_LIMIT))) == ["0", "1", "2"]
    assert sorted(ids(searched(tail, axis(0), 5, 3, 7, NO_LIMIT))) == ["0", "2"]
    assert ids(searched(tail, axis(0), 5, 1, 7, NO_LIMIT)) == ["0"]
    assert tail.living(3, 7) == [0, 2]
    assert tail.living(2, NEVER - 1) == [0]


def test_rows_that_count_no_more_do_not_cost_results():
    tail = Tail(DIM)
    for number in range(50):
        tail.append(f"{number:02}", turned(axis(0), axis(1), 0.01 * number))
    tail.died.update(dict.fromkeys(range(40), 1))
    assert ids(searched(tail, axis(0), 3, 50, 1, NO_LIMIT)) == ["40", "41", "42"]


def test_within_answers_each_query_as_of_its_own_moment():
    tail = Tail(DIM)
    for number in range(3):
        tail.append(str(number), axis(0))
    tail.append("far", axis(1))
    tail.died[0] = 5
    queries = np.stack([axis(0)] * 3 + [axis(1)])
    found = tail.within(queries, 0.01, [1, 2, 3, 4], [4, 4, 5, 5])
    assert [ids(each) for each in found] == [["0"], ["0", "1"], ["1", "2"], ["far"]]
    assert tail.within(queries[:1], 0.01, [0], [0]) == [[]]
