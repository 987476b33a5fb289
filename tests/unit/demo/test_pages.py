"""Pages as files: links lead to files, pictures are there, and nothing runs or can be sent."""

import re
from html import escape
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote

import pytest

from tests.loopback_server import AnsweringHandler, LoopbackServer
from worker.demo.pages import save_pages

HOSTILE = 'shop 1/../"><script>alert(1)</script>.jpg'
WHY = f"/why?id={quote(HOSTILE)}&x=1"
PAGE = f"""<html><head><link rel="stylesheet" href="/static/app.css">
<script src="/static/app.js" defer></script></head>
<a href="/now">Now</a> <a href="/language/ja?back=/now">日本語</a>
<a href="{escape(WHY)}"><img src="/picture/0-7"></a>
<form method="post" action="/review"><button name="word">Accept</button></form>{escape(HOSTILE)}</html>"""


class Console(LoopbackServer):
    def __init__(self):
        super().__init__("127.0.0.1")

    def handler(self, request, address, server) -> BaseHTTPRequestHandler:
        class Handler(AnsweringHandler):
            def do_GET(self):  # noqa: N802 - the base class's name
                if self.path == "/picture/0-8":
                    self.answer(404, b"")
                elif self.path.startswith(("/picture/", "/static/")):
                    self.answer(200, b"bytes")
                else:
                    self.answer(200, PAGE.replace("0-7", "0-8" if self.path == WHY else "0-7").encode())

        return Handler(request, address, server)


@pytest.fixture
def folder(tmp_path):
    with Console() as console:
        assert save_pages(f"http://127.0.0.1:{console.port}", tmp_path) == tmp_path / "now.html"
    return tmp_path


def test_links_lead_to_files_that_are_there(folder):
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == 5
    for page in pages:
        text = page.read_text()
        for name in re.findall(r'(?:href|src|action)="([^"]+)"', text):
            assert name == "#" or (folder / name).is_file(), name
    assert (folder / "0-7.jpg").read_bytes() == b"bytes"
    assert (folder / "0-8.jpg").read_bytes() == b""


def test_nothing_runs_and_nothing_can_be_sent(folder):
    for page in folder.glob("*.html"):
        text = page.read_text()
        assert "<script" not in text
        assert escape(HOSTILE) in text
        assert "<button disabled" in text
