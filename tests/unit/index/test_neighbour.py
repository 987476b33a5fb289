"""Results of several parts become one list."""

from worker.index.neighbour import Neighbour, nearest


def test_the_nearest_of_all_come_first():
    found = [Neighbour("c", 0.3), Neighbour("a", 0.1), Neighbour("b", 0.2)]
    assert [near.image_id for near in nearest(found, 2)] == ["a", "b"]


def test_equal_distances_are_in_the_order_of_their_ids():
    found = [Neighbour(image_id, 0.5) for image_id in ("c", "a", "b")]
    assert [near.image_id for near in nearest(found, 3)] == ["a", "b", "c"]


def test_fewer_than_asked_for_are_all_that_there_are():
    assert nearest([Neighbour("a", 0.1)], 5) == [Neighbour("a", 0.1)]
    assert nearest([], 5) == []
