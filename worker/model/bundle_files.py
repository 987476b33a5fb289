"""Bundle files: what a bundle's directory holds, and that it is what the manifest says, and nothing else.

A file that is not listed has no digest, and a link leads to what its owner may change: neither is believed.
Names that begin with a dot, `lost+found` and other folders are passed over, since nothing in a bundle can
name what is in them.
"""

import errno
import hashlib
import io
import os
import stat
from pathlib import Path

from schemas.bundle import BundleManifest
from worker.errors import BundleError

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"


def read_file(directory: Path, name: str) -> bytes:
    """The bytes of one file of the bundle.

    Raises:
        BundleError: it is a link, or no file.
        OSError: it cannot be read.

    """
    with _opened(directory / name) as stream:
        return stream.read()


def check_files(directory: Path, manifest: BundleManifest) -> None:
    """Check the digest of every file, and that no other is there.

    Raises:
        BundleError: a file is missing, damaged, a link, or not in the manifest.

    """
    for file in manifest.files:
        try:
            with _opened(directory / file.name) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise BundleError(f"{directory} lacks {file.name}: {error}") from error
        if digest != file.sha256:
            raise BundleError(
                f"{directory / file.name} is damaged: its sha256 is {digest}, the manifest says {file.sha256}"
            )
    refuse_others(directory, manifest)


def refuse_others(directory: Path, manifest: BundleManifest, *known: str) -> None:
    """Refuse files that neither the manifest lists nor `known` names.

    Raises:
        BundleError: there is one.

    """
    expected = {MANIFEST, SIGNATURE, *known, *(file.name for file in manifest.files)}
    with os.scandir(directory) as entries:
        found = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    if others := sorted(name for name in found if name not in expected and not name.startswith(".")):
        raise BundleError(
            f"{directory} has {others[0]!r}, which its manifest does not list: take it away. What graphs "
            "need stands in the manifest, with its digest"
        )


def _opened(path: Path) -> io.BufferedReader:
    """Neither through a link, nor waiting for whoever writes to a pipe."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BundleError(f"{path} is a link: copy the file itself into the bundle (cp -L)") from error
        raise
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise BundleError(f"{path} is no ordinary file")
    return stream
