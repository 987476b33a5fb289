import base64
import os
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from schemas.events import ImageReference
from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from tests.hostile_server import HostileServer
from worker.errors import ConfigurationError, Rejection
from worker.fetch.fetch import Fetcher, build_fetcher, decode_base64
from worker.settings import FetchSettings

LIMIT = 1000
# Loading the authorities takes longer than most tests here, which make no connection.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def fetcher(folder: Path) -> Iterator[Fetcher]:
    with built(folder=folder) as parts:
        yield parts


def built(**settings: Any) -> Fetcher:
    given = FetchSettings(max_bytes=LIMIT, **settings)
    return build_fetcher(
        given, resolver=TableResolver({}), connector=RecordingConnector(), tls=NO_AUTHORITIES
    )


def rejected(fetcher: Fetcher, **reference: str) -> Rejection:
    with pytest.raises(Rejection) as caught:
        fetcher.fetch(ImageReference(**reference))
    return caught.value


# Inline


@pytest.mark.parametrize("size", [1, 2, 3, 998, 999, LIMIT])
def test_inline_bytes_come_back_unchanged(fetcher: Fetcher, size: int) -> None:
    data = os.urandom(size)
    assert fetcher.fetch(ImageReference(data=base64.b64encode(data).decode())) == data


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        "QUJ",
        "QUJD=",
        "QQ==QQ==",
        "QQ== ",
        "=QQ=",
        "QUJD\nQUJD",
        "_-8=",
        "data:image/png;base64,QUJD",
        "\uff31\uff31==",
        "\ud800",
    ],
)
def test_what_is_not_base64_is_rejected(text: str) -> None:
    with pytest.raises(Rejection) as caught:
        decode_base64(text, LIMIT)
    assert caught.value.reason is RejectionReason.SOURCE_BAD_BASE64
    assert "image.data" in caught.value.detail


def test_no_bytes_are_rejected(fetcher: Fetcher) -> None:
    assert rejected(fetcher, data="").reason is RejectionReason.SOURCE_EMPTY


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 2, LIMIT + 3, 50 * LIMIT])
def test_inline_bytes_over_the_limit_are_rejected(fetcher: Fetcher, size: int) -> None:
    rejection = rejected(fetcher, data=base64.b64encode(bytes(size)).decode())
    assert rejection.reason is RejectionReason.FETCH_TOO_LARGE
    assert "fetch.max_bytes" in rejection.detail


# Folder


def test_a_file_in_the_folder_is_read(fetcher: Fetcher) -> None:
    assert fetcher.fetch(ImageReference(path="shirts/red.jpg")) == b"red shirt"
    assert rejected(fetcher, path="../secret.txt").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_an_empty_file_is_rejected(fetcher: Fetcher, folder: Path) -> None:
    (folder / "empty.jpg").touch()
    assert rejected(fetcher, path="empty.jpg").reason is RejectionReason.SOURCE_EMPTY


def test_a_path_without_a_folder_names_the_setting() -> None:
    with built() as parts:
        rejection = rejected(parts, path="shirts/red.jpg")
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert "fetch.folder" in rejection.detail


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fetch\.folder"):
        built(folder=tmp_path / "missing")


# URLs, with the parts that settings give


def test_settings_reach_the_downloader() -> None:
    settings = FetchSettings.model_validate(
        {
            "schemes": ["http"],
            "allowed_networks": ["127.0.0.7/32"],
            "max_bytes": LIMIT,
            "timeout": 1.0,
            "max_redirects": 1,
            "retries": 1,
        }
    )
    connector = RecordingConnector()
    with (
        HostileServer({"shirt.jpg": b"red shirt"}, "127.0.0.7") as server,
        build_fetcher(
            settings, TableResolver({"shop.test": ["127.0.0.7"]}), connector, tls=NO_AUTHORITIES
        ) as parts,
    ):
        assert parts.fetch(ImageReference(url=server.url("/ok/shirt.jpg", "shop.test"))) == b"red shirt"
        assert rejected(parts, url=server.url("/huge")).reason is RejectionReason.FETCH_TOO_LARGE
        assert rejected(parts, url=server.url("/never")).reason is RejectionReason.FETCH_TIMEOUT
        assert rejected(parts, url=server.url("/empty")).reason is RejectionReason.SOURCE_EMPTY
        assert rejected(parts, url=server.url("/loop")).reason is RejectionReason.FETCH_TOO_MANY_REDIRECTS
        assert rejected(parts, url=server.url("/503")).reason is RejectionReason.FETCH_UNREACHABLE
        assert rejected(parts, url="https://shop.test/").reason is RejectionReason.SOURCE_UNSUPPORTED
        assert server.requests["/503"] == 2
        assert server.requests["/loop"] == 2
    assert {address for address, _ in connector.attempts} == {ip_address("127.0.0.7")}


def test_by_default_nothing_but_https_to_the_internet() -> None:
    connector = RecordingConnector()
    with build_fetcher(FetchSettings(), TableResolver({"in.test": ["10.0.0.1"]}), connector) as parts:
        assert rejected(parts, url="http://8.8.8.8/a").reason is RejectionReason.SOURCE_UNSUPPORTED
        assert rejected(parts, url="https://in.test/a").reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
        assert rejected(parts, url="https://127.0.0.1/").reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert connector.attempts == []
