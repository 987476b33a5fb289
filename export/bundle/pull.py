"""Pull: a bundle from where it is kept into a folder, whole and checked, or not at all.

The manifest says which files there are, so that nothing is listed and nothing else is taken. It comes to
stand in the folder last: a pull that is cut off leaves no bundle, and what it left is cleared by the next.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from export.bundle.sources.mlflow import open_model
from export.bundle.sources.object_store import SCHEMES, open_object_store
from export.bundle.sources.oci import open_registry
from export.bundle.sources.source import Get, NotThere
from schemas.bundle import BundleManifest
from worker.errors import BundleError, ConfigurationError
from worker.model.bundle import read_manifest
from worker.model.bundle_files import MANIFEST, SIGNATURE, refuse_others

_SCRATCH = ".pull"
_MOST_BYTES = {MANIFEST: 16_000_000, SIGNATURE: 16_000_000}


def pull(
    url: str,
    folder: Path,
    sha256: str | None = None,
    ca_file: Path | None = None,
    signature_key: Path | None = None,
) -> str:
    """Bring the bundle at `url` into `folder`, which may be there, and be a mount; gives the bundle's id.

    `sha256` is what the manifest must have, in hex: it holds the digests of all other files. A folder that
    has this very bundle is left alone. Credentials, region and endpoint are those of the environment, as of
    the provider's own tools. The signature comes along where there is one; with `signature_key` it must be by
    one of these keys.

    Raises:
        ConfigurationError: the URL is of no store that is known, or `signature_key` holds no keys.
        BundleError: the store does not give it, or it is not what its manifest, `sha256`, or its signature
            says.

    """
    get = _source(url, ca_file)
    raw = _small(url, get, MANIFEST)
    _require_digest(url, raw, sha256)
    try:
        signature = _small(url, get, SIGNATURE)
    except NotThere:
        signature = None
    if _has(folder, raw, signature):
        return read_manifest(folder, signature_key)[1]
    try:
        manifest = BundleManifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(f"{url}/{MANIFEST} does not fit: {error}") from error
    with _scratch(folder) as scratch:
        for file in manifest.files:
            _fetch(url, get, file.name, scratch / file.name, file.bytes)
        if signature is not None:
            (scratch / SIGNATURE).write_bytes(signature)
        (scratch / MANIFEST).write_bytes(raw)
        identifier = read_manifest(scratch, signature_key)[1]  # every digest
        _put(scratch, folder, manifest)
    return identifier


def _source(url: str, ca_file: Path | None) -> Get:
    scheme = url.partition(":")[0]
    if scheme in SCHEMES and "://" in url:
        return open_object_store(url, ca_file)
    if scheme == "oci":
        return open_registry(url, ca_file)
    if scheme == "mlflow":
        return open_model(url, ca_file, open_object_store)
    known = ", ".join(f"{one}://" for one in (*SCHEMES, "oci"))
    raise ConfigurationError(f"{url} is none of {known}, mlflow:/")


def _small(url: str, get: Get, name: str) -> bytes:
    raw = b""
    for chunk in get(name):
        raw += chunk
        if len(raw) > _MOST_BYTES[name]:
            raise BundleError(f"{url}/{name} has over {_MOST_BYTES[name]} bytes: it is none")
    return raw


def _require_digest(url: str, manifest: bytes, sha256: str | None) -> None:
    digest = hashlib.sha256(manifest).hexdigest()
    if sha256 is not None and digest != sha256.lower().removeprefix("sha256:"):
        raise BundleError(f"{url}/{MANIFEST} has the sha256 {digest}, not {sha256}: it is another bundle")


def _has(folder: Path, manifest: bytes, signature: bytes | None) -> bool:
    try:
        if (folder / MANIFEST).read_bytes() != manifest:
            return False
        held = (folder / SIGNATURE).read_bytes() if (folder / SIGNATURE).exists() else None
        return held == signature and bool(read_manifest(folder))
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


def _put(scratch: Path, folder: Path, manifest: BundleManifest) -> None:
    """What only the bundle before had goes while its manifest still tells of it."""
    before = _listed(folder)
    refuse_others(folder, manifest, *before)
    for name in {SIGNATURE, *before} - {file.name for file in manifest.files}:
        (folder / name).unlink(missing_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on there is no bundle, until all is there
    for name in [*(path.name for path in scratch.iterdir() if path.name != MANIFEST), MANIFEST]:
        (scratch / name).replace(folder / name)


def _listed(folder: Path) -> set[str]:
    try:
        manifest = BundleManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return set()
    return {file.name for file in manifest.files}
