"""Files below the configured folder, whatever a path says."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.rejection import RejectionReason
from worker.errors import ConfigurationError, Rejection, StageError
from worker.fetch.folder import FolderReader, NamedFolderReader

LIMIT = 1000


@pytest.fixture
def reader(folder: Path) -> FolderReader:
    return FolderReader(folder, LIMIT)


def rejected(reader: FolderReader, path: str) -> Rejection:
    with pytest.raises(Rejection) as caught:
        reader.read(path)
    return caught.value


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"fetch\.folder"):
        FolderReader(tmp_path / "missing", LIMIT)


@pytest.mark.parametrize("path", ["shirts/red.jpg", "./shirts/../shirts/red.jpg", "shirts//red.jpg"])
def test_a_file_in_the_folder_is_read(reader: FolderReader, path: str) -> None:
    assert reader.read(path) == b"red shirt"


def test_a_link_that_stays_inside_is_followed(reader: FolderReader, folder: Path) -> None:
    (folder / "newest").symlink_to("shirts")
    (folder / "cover.jpg").symlink_to(folder / "newest" / "red.jpg")
    assert reader.read("cover.jpg") == b"red shirt"
    assert reader.read("newest/red.jpg") == b"red shirt"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert FolderReader(tmp_path / "current", LIMIT).read("shirts/red.jpg") == b"red shirt"


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
def test_a_path_out_of_the_folder_is_rejected(reader: FolderReader, path: str) -> None:
    with pytest.raises(Rejection) as caught:
        reader.read(path)
    assert caught.value.reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_an_absolute_path_is_rejected_even_inside(reader: FolderReader, folder: Path) -> None:
    rejection = rejected(reader, str(folder / "shirts" / "red.jpg"))
    assert rejection.reason is RejectionReason.FETCH_OUTSIDE_FOLDER


@pytest.mark.parametrize("target", ["../secret.txt", "/etc/passwd"])
def test_a_link_that_leads_out_is_rejected(reader: FolderReader, folder: Path, target: str) -> None:
    (folder / "out.jpg").symlink_to(target)
    assert rejected(reader, "out.jpg").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_a_linked_directory_that_leads_out_is_rejected(reader: FolderReader, folder: Path) -> None:
    (folder / "up").symlink_to("..")
    assert rejected(reader, "up/secret.txt").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


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
def test_what_is_not_there_is_not_found(reader: FolderReader, path: str) -> None:
    assert rejected(reader, path).reason is RejectionReason.FETCH_NOT_FOUND


def test_a_loop_of_links_is_rejected(reader: FolderReader, folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert rejected(reader, "a").reason is RejectionReason.FETCH_OUTSIDE_FOLDER


def test_a_fifo_does_not_block(reader: FolderReader, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    found: list[RejectionReason] = []
    thread = threading.Thread(target=lambda: found.append(rejected(reader, "pipe.jpg").reason))
    thread.start()
    thread.join(2.0)
    assert found == [RejectionReason.FETCH_NOT_FOUND]


@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False)])
def test_a_file_is_taken_up_to_the_limit(reader: FolderReader, folder: Path, size: int, fits: bool) -> None:
    (folder / "large.jpg").write_bytes(bytes(size))
    if fits:
        assert len(reader.read("large.jpg")) == size
    else:
        assert rejected(reader, "large.jpg").reason is RejectionReason.FETCH_TOO_LARGE


def test_no_file_stays_open(reader: FolderReader, folder: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir would count itself

    before = open_files()
    for _ in range(5):
        reader.read("shirts/red.jpg")
        rejected(reader, "shirts")
        rejected(reader, "shirts/blue.jpg")
        rejected(reader, "../secret.txt")
    assert open_files() == before


# Our own failures


def _failing(code: int) -> Callable[..., int]:
    def fail(*_args: object, **_kwargs: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENOMEM])
def test_a_failing_disk_is_not_blamed_on_the_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    reader = FolderReader(folder, LIMIT, pauses=(0.001, 0.001))
    monkeypatch.setattr("worker.fetch.folder.os.open", _failing(code))
    with pytest.raises(StageError, match=r"fetch\.folder"):
        reader.read("shirts/red.jpg")


def test_a_folder_that_vanished_is_not_blamed_on_the_image(
    reader: FolderReader, folder: Path, tmp_path: Path
) -> None:
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StageError, match="mount it again"):
        reader.read("shirts/red.jpg")


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


class Swapping(FolderReader):
    """A reader whose file is swapped or written in the middle of each of the first reads."""

    def __init__(self, folder: Path, swap: Callable[[], object], times: int) -> None:
        super().__init__(folder, 1000, pauses=())
        self.swap, self.left = swap, times

    def _meanwhile(self, size: int) -> None:
        if self.left:
            self.left -= 1
            self.swap()


@pytest.mark.parametrize("name", ["grows", "shrinks", "is written over"])
def test_a_file_that_changes_while_it_is_read_is_read_again(folder: Path, name: str) -> None:
    file = folder / "shirts" / "red.jpg"
    new = {"grows": b"red shirt, longer", "shrinks": b"red", "is written over": b"RED SHIRT"}[name]
    reader = Swapping(folder, lambda: file.write_bytes(new), 1)
    assert reader.read("shirts/red.jpg", reader._meanwhile) == new


def test_one_that_never_stands_still_is_its_own_fault(folder: Path) -> None:
    file = folder / "shirts" / "red.jpg"
    reader = Swapping(folder, lambda: file.write_bytes(file.read_bytes() + b"."), 99)
    with pytest.raises(Rejection) as raised:
        reader.read("shirts/red.jpg", reader._meanwhile)
    assert raised.value.reason is RejectionReason.FETCH_UNREADABLE


def test_a_link_that_is_turned_meanwhile_is_followed_where_it_then_leads(folder: Path) -> None:
    reader = FolderReader(folder, 1000, pauses=())
    (folder / "v1").mkdir()
    (folder / "v2").mkdir()
    (folder / "v1" / "a.jpg").write_bytes(b"one")
    (folder / "v2" / "a.jpg").write_bytes(b"two")
    current = folder / "current"
    current.symlink_to("v1")
    turned: list[None] = []

    def turn(_: int) -> None:
        if not turned:
            turned.append(None)
            (folder / "next").symlink_to("v2")
            (folder / "next").replace(current)

    assert reader.read("current/a.jpg", turn) in {b"one", b"two"}
    assert reader.read("current/a.jpg") == b"two"
