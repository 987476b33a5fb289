"""Changed: a bundle once more, with another manifest and other files."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from export.errors import DatasetError
from schemas.bundle import BundleFile, BundleManifest
from worker.model.bundle import read_manifest
from worker.model.bundle_files import MANIFEST, SIGNATURE


def write_changed(
    bundle: Path, manifest: BundleManifest, out: Path, files: Mapping[str, Path] | None = None
) -> str:
    """A copy of `bundle` at `out` with `manifest` and other `files` by name; returns its id.

    It is not signed, whatever `bundle` is: who vouched for that one has not seen this.

    Raises:
        BundleError: the bundle is damaged.
        DatasetError: `out` is there already.

    """
    try:
        shutil.copytree(bundle, out, ignore=shutil.ignore_patterns(SIGNATURE))
    except FileExistsError as error:
        raise DatasetError(f"{out} is there already: give another folder") from error
    for name, source in (files or {}).items():
        shutil.copyfile(source, out / name)
    listed = [_renewed(file, out) if file.name in (files or {}) else file for file in manifest.files]
    changed = BundleManifest.model_validate({**manifest.model_dump(), "files": listed})
    (out / MANIFEST).write_text(changed.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return read_manifest(out)[1]


def _renewed(file: BundleFile, folder: Path) -> BundleFile:
    data = (folder / file.name).read_bytes()
    return BundleFile(name=file.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
