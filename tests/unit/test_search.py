"""Asking a running index: what is sent, and what is said when it cannot be."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from schemas.search import SearchError, SearchErrorReason, SearchRequest, SearchResponse, SearchResult
from worker.cli import main
from worker.errors import ConfigurationError, StageError
from worker.search import ask, build_request, read_filter, read_term

_FOUND = SearchResponse(
    results=[SearchResult(image_id="a", distance=0.5)], space="s", generation=None, took_ms=1
)


@contextmanager
def served(status, body):
    """An HTTP server that gives one answer, and the bodies that it was sent."""
    bodies = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", bodies
    finally:
        thread.join(5)
        server.server_close()


def test_what_is_asked_is_a_search_request_and_results_come_back(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    request = build_request(
        tmp_path / "a.jpg", None, ["red=0.5", "image:x"], ["blue"], 3, ["b", "c"], order_by="quality"
    )
    with served(200, _FOUND.model_dump_json().encode()) as (url, bodies):
        assert ask(url, request) == _FOUND
    sent = SearchRequest.model_validate_json(bodies[0])
    assert sent == request
    assert (sent.exclude, sent.order_by) == (["b", "c"], "quality")
    assert [(t.attribute, t.image_id, t.weight) for t in sent.plus] == [("red", None, 0.5), (None, "x", 1.0)]


def test_the_command_tells_the_cursor_of_the_next_page_and_asks_by_it(capsys):
    body = json.dumps({**_FOUND.model_dump(), "cursor": "abc", "of a later release": 1}).encode()
    with served(200, body) as (url, bodies):
        assert main(["search", "--image-id", "b", "--cursor", "xyz", "--url", url]) == 0
    assert SearchRequest.model_validate_json(bodies[0]).cursor == "xyz"
    told = capsys.readouterr()
    assert told.out == "0.5000\ta\n"
    assert "--cursor abc" in told.err


def test_a_filter_is_sent_and_one_that_is_none_is_refused():
    given = {
        "categories": ["hats"],
        "tags": [],
        "uploaded_from": "2026-11-01T00:00:00Z",
        "uploaded_before": None,
    }
    request = build_request(None, "a", [], [], 3, (), read_filter(given))
    sent = SearchRequest.model_validate_json(request.model_dump_json(exclude_defaults=True))
    assert sent.filter.categories == ["hats"]
    assert sent.filter.uploaded_from == datetime(2026, 11, 1, tzinfo=UTC)
    assert read_filter({"categories": [], "uploaded_from": None}) is None
    with pytest.raises(ConfigurationError, match="no filter: uploaded_from"):
        read_filter({"uploaded_from": "yesterday"})
    with pytest.raises(ConfigurationError, match=r"no filter: tags\.0"):
        read_filter({"tags": ["x" * 3000]})


def test_a_refusal_is_told_in_the_role_s_words():
    refused = SearchError(reason=SearchErrorReason.UNKNOWN_ATTRIBUTE, detail="it has red, blue")
    with (
        served(400, refused.model_dump_json().encode()) as (url, _),
        pytest.raises(ConfigurationError, match="it has red, blue"),
    ):
        ask(url, SearchRequest(image_id="a"))


@pytest.mark.parametrize(("status", "body"), [(200, b"{}"), (502, b"<html>")])
def test_what_is_no_index_role_is_told(status, body):
    with served(status, body) as (url, _), pytest.raises(StageError, match="not as an index role does"):
        ask(url, SearchRequest(image_id="a"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1"])
def test_nobody_there_is_told_with_what_to_start(url):
    with pytest.raises(StageError, match="mekiki index"):
        ask(url, SearchRequest(image_id="a"))


@pytest.mark.parametrize("text", ["red=", "red=-1", "red=nan", "=2", "image:", "red=much"])
def test_a_term_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="NAME=WEIGHT"):
        read_term(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.jpg"):
        build_request(tmp_path / "none.jpg", None, [], [], 1)
