import base64
import errno
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from schemas.events import ImageReference
from schemas.rejection import RejectionReason
from tests.connectors import RecordingConnector, TableResolver
from tests.hostile_server import HostileServer
from worker.errors import ConfigurationError, Rejection, StageError
from worker.fetch.fetch import Fetcher, build_fetcher, decode_base64
from worker.fetch.folder import FolderReader, NamedFolderReader
from worker.settings import FetchSettings

LIMIT = 1000
# Loading the authorities takes longer than most tests here, which make no connection.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "images"
    (inside / "shirts").mkdir(parents=True)
    (inside / "shirts" / "red.jpg").write_bytes(b"red shirt")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return inside


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


@pytest.mark.parametrize("path", ["shirts/red.jpg", "./shirts/../shirts/red.jpg", "shirts//red.jpg"])
def test_a_file_in_the_folder_is_read(fetcher: Fetcher, path: str) -> None:
    assert fetcher.fetch(ImageReference(path=path)) == b"red shirt"


def test_a_link_that_stays_inside_is_followed(fetcher: Fetcher, folder: Path) -> None:
    (folder / "newest").symlink_to("shirts")
    (folder / "cover.jpg").symlink_to(folder / "newest" / "red.jpg")
    assert fetcher.fetch(ImageReference(path="cover.jpg")) == b"red shirt"
    assert fetcher.fetch(ImageReference(path="newest/red.jpg")) == b"red shirt"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    with built(folder=tmp_path / "current") as parts:
        assert parts.fetch(ImageReference(path="shirts/red.jpg")) == b"red shirt"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "shirts/../../secret.txt",
        "../images-of-others/a.jpg",
        "..",
        "/etc/passwd",
        "//etc/passwd",
        "shirts/red.jpg\0.png",
        "\ud800.jpg",
    ],
)
def test_a_path_out_of_the_folder_is_rejected(fetcher: Fetcher, path: str) -> None:
    with pytest.raises(Rejection) as caught:
        fetcher.fetch(ImageReference.model_construct(path=path))
    assert caught.value.reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_an_absolute_path_is_rejected_even_inside(fetcher: Fetcher, folder: Path) -> None:
    rejection = rejected(fetcher, path=str(folder / "shirts" / "red.jpg"))
    assert rejection.reason is RejectionReason.FETCH_OUTSIDE_FOLDER


@pytest.mark.parametrize("target", ["../secret.txt", "/etc/passwd"])
def test_a_link_that_leads_out_is_rejected(fetcher: Fetcher, folder: Path, target: str) -> None:
    (folder / "out.jpg").symlink_to(target)
    assert rejected(fetcher, path="out.jpg").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_a_linked_directory_that_leads_out_is_rejected(fetcher: Fetcher, folder: Path) -> None:
    (folder / "up").symlink_to("..")
    assert rejected(fetcher, path="up/secret.txt").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


@pytest.mark.parametrize("swapped", ["shirts", "shirts/red.jpg"])
def test_a_link_put_in_after_the_check_is_not_followed(
    folder: Path, tmp_path: Path, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = FolderReader(folder, LIMIT)
    (tmp_path / "red.jpg").write_bytes(b"secret")
    check = reader._inside

    def check_then_swap(path: str) -> Any:
        checked = check(path)
        place = folder / swapped
        place.rename(tmp_path / "moved")
        place.symlink_to(tmp_path if swapped == "shirts" else tmp_path / "red.jpg")
        return checked

    monkeypatch.setattr(reader, "_inside", check_then_swap)
    with pytest.raises(Rejection) as caught:
        reader.read("shirts/red.jpg")
    assert caught.value.reason in {RejectionReason.FETCH_OUTSIDE_FOLDER, RejectionReason.FETCH_NOT_FOUND}


@pytest.mark.parametrize(
    "path", ["shirts/blue.jpg", "trousers/red.jpg", "shirts/red.jpg/x", "a" * 300, "shirts", ".", ""]
)
def test_what_is_not_there_is_not_found(fetcher: Fetcher, path: str) -> None:
    assert rejected(fetcher, path=path).reason is RejectionReason.FETCH_NOT_FOUND


def test_a_loop_of_links_is_rejected(fetcher: Fetcher, folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert rejected(fetcher, path="a").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_a_fifo_does_not_block(fetcher: Fetcher, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    found: list[RejectionReason] = []
    thread = threading.Thread(target=lambda: found.append(rejected(fetcher, path="pipe.jpg").reason))
    thread.start()
    thread.join(2.0)
    assert found == [RejectionReason.FETCH_NOT_FOUND]


def test_an_empty_file_is_rejected(fetcher: Fetcher, folder: Path) -> None:
    (folder / "empty.jpg").touch()
    assert rejected(fetcher, path="empty.jpg").reason is RejectionReason.SOURCE_EMPTY


@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False)])
def test_a_file_is_taken_up_to_the_limit(fetcher: Fetcher, folder: Path, size: int, fits: bool) -> None:
    (folder / "large.jpg").write_bytes(bytes(size))
    if fits:
        assert len(fetcher.fetch(ImageReference(path="large.jpg"))) == size
    else:
        assert rejected(fetcher, path="large.jpg").reason is RejectionReason.FETCH_TOO_LARGE


def test_no_file_stays_open(fetcher: Fetcher, folder: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir would count itself

    before = open_files()
    for _ in range(5):
        fetcher.fetch(ImageReference(path="shirts/red.jpg"))
        rejected(fetcher, path="shirts")
        rejected(fetcher, path="shirts/blue.jpg")
        rejected(fetcher, path="../secret.txt")
    assert open_files() == before


def test_a_path_without_a_folder_names_the_setting() -> None:
    with built() as parts:
        rejection = rejected(parts, path="shirts/red.jpg")
    assert rejection.reason is RejectionReason.SOURCE_UNSUPPORTED
    assert "fetch.folder" in rejection.detail


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fetch\.folder"):
        built(folder=tmp_path / "missing")


# Our own failures


def _failing(code: int) -> Callable[..., int]:
    def fail(*_args: object, **_kwargs: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENOMEM])
def test_a_failing_disk_is_not_blamed_on_the_image(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing(code))
    with pytest.raises(StageError, match=r"fetch\.folder"):
        fetcher.fetch(ImageReference(path="shirts/red.jpg"))


def _failing_for(name: str, code: int, times: int) -> Callable[..., int]:
    opened, left = os.open, [times]

    def fail(path: Any, *arguments: Any, **keywords: Any) -> int:
        if str(path).endswith(name) and left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return opened(path, *arguments, **keywords)

    return fail


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_file_that_alone_cannot_be_read_is_rejected_after_more_attempts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (folder / "shirts" / "bad.jpg").write_bytes(b"x")
    reader = FolderReader(folder, 1_000_000, pauses=(0.001, 0.001))
    reader.read("shirts/red.jpg")
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing_for("bad.jpg", code, 2))
    assert reader.read("shirts/bad.jpg") == b"x", "it passes"
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing_for("bad.jpg", code, 99))
    with pytest.raises(Rejection) as caught:
        reader.read("shirts/bad.jpg")
    assert caught.value.reason is RejectionReason.FETCH_UNREADABLE


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_shortage_of_this_machine_is_waited_for_and_never_an_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    reader = FolderReader(folder, 1_000_000, pauses=(0.001, 0.001))
    wanted = reader.read("shirts/red.jpg")
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing_for("red.jpg", code, 2))
    assert reader.read("shirts/red.jpg") == wanted
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing_for("red.jpg", code, 99))
    with pytest.raises(StageError):
        reader.read("shirts/red.jpg")


def test_links_are_followed_in_a_folder_that_a_person_named_and_in_no_other(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.jpg").write_bytes(b"e")
    (folder / "linked.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    assert NamedFolderReader(folder, 100, ()).read("linked.jpg") == b"e"
    with pytest.raises(Rejection):
        NamedFolderReader(folder, 100, ()).read("loop.jpg")
    with pytest.raises(Rejection) as caught:
        FolderReader(folder, 100, ()).read("linked.jpg")
    assert caught.value.reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_a_folder_that_vanished_is_not_blamed_on_the_image(
    fetcher: Fetcher, folder: Path, tmp_path: Path
) -> None:
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StageError, match="mount it again"):
        fetcher.fetch(ImageReference(path="shirts/red.jpg"))


# URLs, with the parts that settings give


def test_settings_reach_the_downloader() -> None:
    settings = FetchSettings.model_validate(
        {
            "schemes": ["http"],
            "allowed_networks": ["127.0.0.7/32"],
            "max_bytes": LIMIT,
            "timeout": 0.5,
            "max_redirects": 1,
            "retries": 1,
        }
    )
    connector = RecordingConnector()
    with (
        HostileServer({"shirt.jpg": b"red shirt"}, "127.0.0.7") as server,
        build_fetcher(settings, TableResolver({"shop.test": ["127.0.0.7"]}), connector) as parts,
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
