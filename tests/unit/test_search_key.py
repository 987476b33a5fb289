"""The key that an index asks for, as the command and the console show it, at a real door."""

import hashlib
from contextlib import contextmanager

import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from console.searching import Searching, Wanted
from schemas.search import SearchRequest, SearchResponse, SearchResult
from worker.door import Door, DoorLimits, Keys
from worker.errors import ConfigurationError
from worker.health import Health
from worker.http import HttpServer, create_app
from worker.search import ask
from worker.search_key import read_search_key

FOUND = SearchResponse(
    results=[SearchResult(image_id="a", distance=0.5)], space="s", generation=None, took_ms=1
)

WANTED = Wanted()


@contextmanager
def index_with(keys_file):
    router = APIRouter()

    @router.post("/search")
    async def search() -> SearchResponse:
        return FOUND

    limits, keys = DoorLimits(10_000, 10_000), Keys(keys_file)
    app = create_app(Health(60, ()), CollectorRegistry(), [router], lambda app: Door(app, limits, keys))
    with HttpServer(app, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.port}"


def test_who_has_the_key_searches_and_others_are_told_what_is_missing(tmp_path):
    keys, mine, other = (tmp_path / name for name in ("keys", "mine", "other"))
    keys.write_text(f"shop {hashlib.sha256(b'k-1').hexdigest()}\n")
    mine.write_text("k-1\n")
    other.write_text("k-2")
    with index_with(keys) as url:
        assert ask(url, SearchRequest(image_id="a"), key_file=mine) == FOUND
        assert Searching(url, mine).by_id("a", WANTED, 1) == FOUND
        for file in (None, other):
            with pytest.raises(ConfigurationError, match=r"http\.keys_file"):
                ask(url, SearchRequest(image_id="a"), key_file=file)
            with pytest.raises(ConfigurationError, match=r"http\.keys_file"):
                Searching(url, file).by_id("a", WANTED, 1)


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"k\nX-Other: 1", "鍵".encode(), b"a\x00b"])
def test_a_file_without_a_key_is_told(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="key"):
        read_search_key(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_search_key(tmp_path / "none")
    assert read_search_key(None) == {}
