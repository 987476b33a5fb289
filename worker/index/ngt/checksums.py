"""Which files a directory must hold, each with its size and digest, checked side by side."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field

from worker.errors import MekikiError


class Damaged(MekikiError):
    """Files are not those that were written."""


class FileDigest(BaseModel):
    """A file, by its path inside the directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: Annotated[int, Field(ge=0)]
    blake3: str


def digest_of(raw: bytes) -> str:
    """The BLAKE3 digest of `raw` in hexadecimal."""
    return blake3(raw).hexdigest()


def list_files(path: Path) -> list[FileDigest]:
    """Every file under `path`, with its digest."""
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return [
        FileDigest(path=file.relative_to(path).as_posix(), bytes=file.stat().st_size, blake3=_digest(file))
        for file in files
    ]


def check_files(path: Path, files: Iterable[FileDigest]) -> None:
    """Compare the size and digest of every file; blocks for reading all of them, several at a time.

    Raises:
        Damaged: a file is missing, of another size, or of other content.

    """
    with ThreadPoolExecutor(2, "checksums") as threads:
        for _ in threads.map(lambda entry: _check(path, entry), files):
            pass


def _check(path: Path, entry: FileDigest) -> None:
    file = path / entry.path
    try:
        if file.stat().st_size != entry.bytes:
            raise Damaged(f"{file}: not {entry.bytes} bytes")
        if _digest(file) != entry.blake3:
            raise Damaged(f"{file}: its checksum does not hold")
    except OSError as error:
        raise Damaged(f"{file}: {error}") from error


def _digest(file: Path) -> str:
    return blake3().update_mmap(file).hexdigest()
