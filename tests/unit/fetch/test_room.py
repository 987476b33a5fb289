"""Room is taken in whole or not at all, and given back once."""

import pytest

from worker.fetch.room import Grant, NoRoom, Room


def test_room_is_taken_up_to_its_size_and_given_back() -> None:
    freed = []
    room = Room(100, lambda: freed.append(True))
    first, second = Grant(room), Grant(room)
    first.take(80)
    first.take(80)  # what is held already counts
    with pytest.raises(NoRoom) as refused:
        second.take(30)
    assert refused.value.size == 30
    second.take(20)
    assert not room.is_left
    first.release()
    first.release()
    assert freed == [True]
    second.take(100)


def test_what_is_larger_than_all_of_it_takes_all_of_it() -> None:
    room = Room(100)
    small, large = Grant(room), Grant(room)
    small.take(1)
    with pytest.raises(NoRoom):
        large.take(1000)
    small.release()
    large.take(1000)
    with pytest.raises(NoRoom):
        small.take(1)
    large.release()
    small.take(1)
