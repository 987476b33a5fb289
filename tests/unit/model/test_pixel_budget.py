"""No more full-size pixels are held at once than there is room for."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.model.pixel_budget import PixelBudget


def enter(room: PixelBudget, pixels: int) -> bool:
    with room.taken(pixels):
        return True


def test_what_fits_goes_in_at_once_and_the_rest_waits():
    room = PixelBudget(100)
    with ThreadPoolExecutor(1) as other:
        with room.taken(60):
            assert other.submit(enter, room, 40).result(5)
            waiting = other.submit(enter, room, 41)
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
        assert waiting.result(5)


def test_more_than_there_is_takes_all_of_it():
    room = PixelBudget(100)
    with ThreadPoolExecutor(1) as other:
        with room.taken(1000):
            waiting = other.submit(enter, room, 1)
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
        assert waiting.result(5)


def test_a_failure_gives_the_room_back():
    room = PixelBudget(100)
    with pytest.raises(ZeroDivisionError), room.taken(100):
        raise ZeroDivisionError
    with ThreadPoolExecutor(1) as other:
        assert other.submit(enter, room, 100).result(5)
