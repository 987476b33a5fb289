"""Pull: a bundle from an object store into a folder, whole and checked, or not at all.

The manifest says which files there are, so that nothing is listed and nothing else is taken. It comes to
stand in the folder last: a pull that is cut off leaves no bundle, and what it left is cleared by the next.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.bundle import BundleManifest
from worker.errors import BundleError, ConfigurationError
from worker.model.bundle import read_manifest

MANIFEST = "manifest.json"

_SCRATCH = ".pull"
_MOST_MANIFEST = 16_000_000
_CHUNK = 4_000_000
_SCHEMES = ("s3", "gs", "az", "https", "file")

Get = Callable[[str], Iterator[bytes]]


def pull(url: str, folder: Path, sha256: str | None = None, ca_file: Path | None = None) -> str:
    """Bring the bundle at `url` into `folder`, which may be there, and be a mount; gives the bundle's id.

    `sha256` is what the manifest must have, in hex: it holds the digests of all other files. A folder that
    has this very bundle is left alone. Credentials, region and endpoint are those of the environment, as of
    the provider's own tools.

    Raises:
        ConfigurationError: the URL is of no store that is known.
        BundleError: the store does not give it, or it is not what its manifest, or `sha256`, says.

    """
    get = _store(url, ca_file)
    raw = _manifest(url, get, sha256)
    if _has(folder, raw):
        return read_manifest(folder)[1]
    try:
        manifest = BundleManifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(f"{url}/{MANIFEST} does not fit: {error}") from error
    with _scratch(folder) as scratch:
        for file in manifest.files:
            _fetch(url, get, file.name, scratch / file.name, file.bytes)
        (scratch / MANIFEST).write_bytes(raw)
        identifier = read_manifest(scratch)[1]  # every digest
        (folder / MANIFEST).unlink(missing_ok=True)  # from here on there is no bundle, until all is there
        for name in [*(file.name for file in manifest.files), MANIFEST]:
            (scratch / name).replace(folder / name)
    return identifier


def _store(url: str, ca_file: Path | None) -> Get:
    import obstore  # noqa: PLC0415 - other commands have no need of it
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    if url.partition("://")[0] not in _SCHEMES:
        raise ConfigurationError(f"{url} is none of {', '.join(f'{one}://' for one in _SCHEMES)}")
    options: dict[str, Any] = {"retry_config": {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}}
    if url.startswith("file:"):
        options.clear()
    if ca_file is not None and not url.startswith("file:"):
        options["client_options"] = {"root_certificate": ca_file.read_bytes()}
    try:
        store = from_url(url, **options)
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{url} cannot be opened: {_first_line(error)}") from error

    def get(name: str) -> Iterator[bytes]:
        try:
            for chunk in obstore.get(store, name).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise BundleError(f"{url}/{name} cannot be had: {_first_line(error)}") from error

    return get


def _first_line(error: Exception) -> str:
    """obstore tells its own insides behind it."""
    return str(error).partition("\n")[0][:500]


def _manifest(url: str, get: Get, sha256: str | None) -> bytes:
    raw = b""
    for chunk in get(MANIFEST):
        raw += chunk
        if len(raw) > _MOST_MANIFEST:
            raise BundleError(f"{url}/{MANIFEST} has over {_MOST_MANIFEST} bytes: it is no manifest")
    digest = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and digest != sha256.lower().removeprefix("sha256:"):
        raise BundleError(f"{url}/{MANIFEST} has the sha256 {digest}, not {sha256}: it is another bundle")
    return raw


def _has(folder: Path, manifest: bytes) -> bool:
    try:
        return (folder / MANIFEST).read_bytes() == manifest and bool(read_manifest(folder))
    except (OSError, BundleError):
        return False


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Inside the folder, and so on its file system."""
    scratch = folder / _SCRATCH
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(url: str, get: Get, name: str, target: Path, size: int) -> None:
    left = size
    with target.open("wb") as out:
        for chunk in get(name):
            left -= len(chunk)
            if left < 0:
                break
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if left:
        than = "more" if left < 0 else "less"
        raise BundleError(f"{url}/{name} has {than} than the {size} bytes that the manifest says")
