"""Pages of a search over an index that changes between them, and cursors that lead nowhere."""

import random

import pytest

from schemas.search import MAX_PAGED, SearchErrorReason
from worker.index.neighbour import Neighbour, nearest
from worker.index.pages import CURSOR_SECONDS, Cursor, CursorRefused, find_page, read_cursor

CURSOR = Cursor(space="s", query="q", distance=0.25, after="目/1.jpg", reach=10, began=1000.0)


def found_in(distances):
    """What find_page asks: the nearest of images with these distances."""
    return lambda count: nearest((Neighbour(*each) for each in distances.items()), count)


def page_of(distances, count, cursor=None):
    """A page's ids, and the cursor of the next one."""
    page = find_page(found_in(distances), count, cursor)
    text = page.cursor("s", "q", 1000.0)
    return [near.image_id for near in page.results], text and read_cursor(text, "s", "q", 1000.0)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_shown_twice_and_what_stays_is_shown(seed):
    chance = random.Random(seed)
    distances = {f"i{n}": chance.choice((0.1, 0.2, 0.3, 0.4)) + chance.randrange(3) / 10 for n in range(60)}
    staying = dict(distances)
    shown, cursor = page_of(distances, 5)
    while cursor is not None:
        for _ in range(chance.randrange(12)):
            distances[f"new {len(distances)}"] = chance.random()
            gone = chance.choice(sorted(distances))
            del distances[gone]
            staying.pop(gone, None)
        ids, cursor = page_of(distances, chance.randrange(1, 9), cursor)
        shown += ids
    assert len(shown) == len(set(shown))
    assert [image_id for image_id in shown if image_id in staying] == sorted(
        staying, key=lambda image_id: (staying[image_id], image_id)
    )


def test_many_that_are_new_before_the_cursor_hide_nothing_behind_it():
    distances = {f"i{n:02}": 0.5 + n / 100 for n in range(10)}
    _, cursor = page_of(distances, 5)
    distances |= {f"new {n}": 0.1 for n in range(300)}
    assert page_of(distances, 5, cursor) == (["i05", "i06", "i07", "i08", "i09"], None)


def test_pages_end_at_their_depth():
    distances = {f"i{n:05}": 0.5 for n in range(MAX_PAGED + 5)}
    shown, cursor, pages = 0, None, 0
    while pages == 0 or cursor is not None:
        ids, cursor = page_of(distances, 999, cursor)
        shown, pages = shown + len(ids), pages + 1
    assert MAX_PAGED <= shown <= MAX_PAGED + 1


def test_an_empty_index_has_one_page():
    assert page_of({}, 5) == ([], None)


def refusal(text, space="s", query="q", now=1000.0):
    with pytest.raises(CursorRefused) as refused:
        read_cursor(text, space, query, now)
    return refused.value.reason


def test_a_cursor_comes_back_as_it_was_until_it_is_too_old():
    text = CURSOR.text()
    for age in (-30, 0, CURSOR_SECONDS):
        assert read_cursor(text, "s", "q", 1000.0 + age) == CURSOR
    for age in (-90, CURSOR_SECONDS + 1):
        assert refusal(text, now=1000.0 + age) is SearchErrorReason.CURSOR_EXPIRED
    assert refusal(text, query="other") is SearchErrorReason.CURSOR_OF_ANOTHER_QUERY
    assert refusal(text, space="other", query="other") is SearchErrorReason.CURSOR_OF_ANOTHER_SPACE


def test_every_damage_is_told():
    text = CURSOR.text()
    damaged = [text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :] for place in range(80)]
    damaged += [text[:-4], text[4:], text + "AAAA", "", "é", "===", "AAAA", text.swapcase(), " " + text]
    beyond = CURSOR.model_copy(update={"reach": MAX_PAGED + 1})
    for each in (*damaged, beyond.text(), CURSOR.model_copy(update={"distance": float("nan")}).text()):
        assert refusal(each) is SearchErrorReason.CURSOR_INVALID, each
