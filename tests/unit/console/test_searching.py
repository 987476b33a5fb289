"""What a person writes beside an image, as the search API takes it; refusals as the index says them."""

import json

import pytest

from console.searching import Known, Searching, Wanted
from schemas.search import SearchError, SearchErrorReason, SearchResponse, SearchResult
from tests.unit.test_search import served
from worker.errors import ConfigurationError, StageError

FOUND = SearchResponse(
    results=[SearchResult(image_id="a", distance=0.5)], space="s", generation=None, took_ms=1
).model_dump_json().encode()  # fmt: skip


def test_terms_ids_and_a_radius_are_asked_for():
    wanted = Wanted(plus="red, image:shop 1/a.jpg=0.5", minus="blue", exclude="x,\n y z ,", radius="0.4")
    with served(200, FOUND) as (url, bodies):
        (found,) = Searching(url).by_id("i", wanted, 24).results
    assert found.image_id == "a"
    assert json.loads(bodies[0]) == {
        "image_id": "i",
        "k": 24,
        "plus": [{"attribute": "red"}, {"image_id": "shop 1/a.jpg", "weight": 0.5}],
        "minus": [{"attribute": "blue"}],
        "exclude": ["x", "y z"],
        "radius": 0.4,
    }


def test_which_images_may_be_results():
    wanted = Wanted(categories="books, toys", tags="red", uploaded_from="2026-11-01", uploaded_before=" ")
    assert wanted.is_filtered
    assert not Wanted(plus="red").is_filtered
    with served(200, FOUND) as (url, bodies):
        Searching(url).by_id("i", wanted, 24)
    assert json.loads(bodies[0])["filter"] == {
        "categories": ["books", "toys"],
        "tags": ["red"],
        "uploaded_from": "2026-11-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    "wanted", [Wanted(plus="red=-1"), Wanted(minus="=2"), Wanted(radius="3"), Wanted(uploaded_from="soon")]
)
def test_what_is_no_search_is_never_sent(wanted):
    with pytest.raises(ConfigurationError):
        Searching("http://127.0.0.1:1").by_id("i", wanted, 24)


def test_the_index_says_itself_what_it_refuses():
    refused = SearchError(reason=SearchErrorReason.UNKNOWN_ATTRIBUTE, detail="it has red, blue")
    with (
        served(400, refused.model_dump_json().encode()) as (url, _),
        pytest.raises(ConfigurationError, match="it has red, blue"),
    ):
        Searching(url).by_image(b"pixels", Wanted(plus="green"), 24)


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b"{}"), (502, b"Bad Gateway")])
def test_what_is_no_index_role_is_said(status, body):
    with served(status, body) as (url, _), pytest.raises(StageError, match="as an index role does"):
        Searching(url).by_id("i", Wanted(), 24)


def test_order_copies_and_the_next_page_are_asked_for():
    wanted = Wanted(distinct="1", order_by=" quality ", cursor="c1")
    with served(200, FOUND) as (url, bodies):
        Searching(url).by_id("i", wanted, 24)
    sent = {"image_id": "i", "k": 24, "distinct": True, "order_by": "quality", "cursor": "c1"}
    assert json.loads(bodies[0]) == sent


def test_without_an_index_nothing_is_known_to_search_by():
    assert Searching(None).known() == Known()
    assert Searching("http://127.0.0.1:1").known() == Known()
