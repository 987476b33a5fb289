"""The demo's object store serves what it is told of, and nothing else."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from worker.demo.store import REDIRECT, ObjectStore


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ObjectStore() as running:
        yield running


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    location: str | None


def get(store: ObjectStore, path: str) -> Answer:
    with closing(HTTPConnection(store.url.removeprefix("http://"), timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), answer.headers["Location"])


def test_a_file_is_served_by_its_name_in_whatever_script(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"image")
    store.files["/photos/目 1.jpg"] = tmp_path / "1.jpg"
    answer = get(store, "/photos/" + quote("目 1.jpg"))
    assert (answer.status, answer.content) == (200, b"image")


def test_nothing_else_of_the_disk_is_served(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"image")
    store.files["/1.jpg"] = tmp_path / "1.jpg"
    for path in ("/", "/2.jpg", "/../1.jpg", "/%2e%2e/1.jpg", quote(str(tmp_path / "1.jpg"))):
        assert get(store, path).status == 404


def test_it_redirects_as_an_attacker_would(store: ObjectStore) -> None:
    answer = get(store, REDIRECT)
    assert answer.status == 302
    assert (answer.location or "").startswith("http://169.254.169.254/")


def test_it_is_gone_afterwards() -> None:
    with ObjectStore() as own:
        url = own.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)
