"""Levels that a query sets, words in every language, and pages of a search."""

import re
from dataclasses import fields
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from console.language import _JAPANESE, preferred
from console.pages import HERE, Parts, create_pages, tried
from console.request import Refused
from console.searching import Known
from console.sign_in import Person
from schemas.policy import Exemption, Policy, Threshold
from schemas.search import SearchResponse, SearchResult

POLICY = Policy(
    thresholds={"text": Threshold(block=0.6, review=0.4, unless=Exemption(score="code_area", below=0.1))}
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (0.6, 0.4)),
        ({"text.block": "0.7"}, (0.7, 0.4)),
        ({"text.block": "0.3"}, (0.3, 0.3)),
        ({"text.review": ""}, (0.6, None)),
        ({"text.block": "", "text.review": ""}, None),
        ({"other.block": "0.1"}, (0.6, 0.4)),
    ],
)
def test_levels(query, expected):
    threshold = tried(POLICY, query, ["text", "qr"]).thresholds.get("text")
    assert (threshold and (threshold.block, threshold.review)) == expected
    assert threshold is None or threshold.unless == POLICY.thresholds["text"].unless


def test_a_score_without_a_threshold_gets_one():
    assert tried(POLICY, {"qr.block": "0.5"}, ["text", "qr"]).thresholds["qr"] == Threshold(block=0.5)
    with pytest.raises(Refused):
        tried(POLICY, {"qr.block": "nan"}, ["qr"])


def test_every_word_of_the_pages_is_japanese_too():
    used = {
        word
        for template in Path(HERE, "templates").glob("*.j2")
        for word in re.findall(r'\bt\("([^"]+)"\)', template.read_text(encoding="utf-8"))
    }
    assert len(used) > 40
    assert used - set(_JAPANESE) == set()


def test_the_language_that_is_asked_for():
    assert preferred("ja", "en") == "ja"
    assert preferred("xx", "fr, ja;q=0.8, en") == "ja"
    assert preferred(None, "") == "en"


@pytest.fixture
def searched():
    """A client of the pages, and what stands in for the index: it has one more page."""
    stand_ins = {each.name: MagicMock() for each in fields(Parts) if each.name != "templates"}
    parts = Parts(**stand_ins | {"max_body": 1000})
    parts.gate.viewer.return_value = Person("somebody", "reviewer", "")
    parts.queue.of_images.return_value = {}
    parts.searching.known.return_value = Known(["red"], ["quality"])
    found = [SearchResult(image_id="shop/1.jpg", distance=0.5)]
    answer = SearchResponse(results=found, space="s", generation=None, took_ms=1, cursor="a+b/c=")
    parts.searching.by_id.return_value = parts.searching.by_image.return_value = answer
    app = FastAPI()
    app.include_router(create_pages(parts))
    return TestClient(app), parts.searching


def test_the_next_page_is_the_same_search_with_the_cursor_of_the_answer(searched):
    client, index = searched
    text = client.get("/search?id=i&order_by=quality&distinct=1&tags=red").text
    assert "<option selected>quality</option>" in text
    assert 'name="distinct" value="1" checked' in text
    link = re.search('<a href="([^"]+)" rel="next">', text)
    client.get(link[1].replace("&amp;", "&"))
    first, second = (call.args[1] for call in index.by_id.call_args_list)
    assert (first.cursor, second.cursor) == ("", "a+b/c=")
    assert (second.order_by, second.distinct, second.tags) == ("quality", "1", "red")


def test_there_is_none_behind_the_last_page_nor_of_an_image_that_was_dropped(searched):
    client, index = searched
    posted = client.post("/search?distinct=1", content=b"pixels")
    assert posted.status_code == 200
    assert 'rel="next"' not in posted.text
    index.by_id.return_value = index.by_id.return_value.model_copy(update={"cursor": None})
    assert 'rel="next"' not in client.get("/search?id=i").text
