"""A generation: which segments the index consists of, which of their images count no more, and log offsets.

    generation-00000012/
        manifest.json          GenerationManifest
        manifest.json.sha256   of the line above, since nothing else holds the manifest itself

Segments lie beside it and are shared by generations.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.errors import MekikiError
from worker.index.backend import IndexIdentity
from worker.index.ngt.checksums import Damaged

MANIFEST_FILE = "manifest.json"
MANIFEST_DIGEST_FILE = "manifest.json.sha256"


class OldFormat(MekikiError):
    """A whole generation of a release that kept everything in one graph."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentEntry(_Model):
    """A segment of a generation."""

    name: str
    digest: Annotated[str, Field(description="BLAKE3 of its manifest")]
    dead: Annotated[list[int], Field(description="positions of images that were replaced or deleted since")]


class GenerationManifest(_Model):
    """`manifest.json`."""

    format: Literal[2] = 2
    number: Annotated[int, Field(gt=0)]
    identity: IndexIdentity
    created_at: Annotated[AwareDatetime, Field(description="when every record before `offsets` was in")]
    offsets: Annotated[dict[int, int], Field(description="partition -> offset of the next record")]
    segments: list[SegmentEntry]

    @property
    def name(self) -> str:
        """Such as `generation-00000012`."""
        return generation_name(self.number)

    def age(self) -> float:
        """Seconds since every record before its offsets was in."""
        return (datetime.now(UTC) - self.created_at).total_seconds()


def generation_name(number: int) -> str:
    """The directory name of generation `number`."""
    return f"generation-{number:08d}"


def read_manifest(path: Path) -> GenerationManifest:
    """The manifest of the generation in directory `path`.

    Raises:
        Damaged: it is missing, unreadable or not the one that was written.
        OldFormat: it is whole, and of an earlier release.

    """
    try:
        raw = (path / MANIFEST_FILE).read_bytes()
        digest = (path / MANIFEST_DIGEST_FILE).read_text(encoding="ascii").strip()
        if hashlib.sha256(raw).hexdigest() != digest:
            raise Damaged(f"{path / MANIFEST_FILE}: its checksum does not hold")
        if json.loads(raw).get("format") == 1:
            raise OldFormat
        return GenerationManifest.model_validate_json(raw)
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise Damaged(f"{path / MANIFEST_FILE}: {error}") from error


def write_manifest(path: Path, manifest: GenerationManifest) -> None:
    """Write the manifest and its digest into directory `path`."""
    raw = manifest.model_dump_json().encode()
    (path / MANIFEST_FILE).write_bytes(raw)
    (path / MANIFEST_DIGEST_FILE).write_text(hashlib.sha256(raw).hexdigest(), encoding="ascii")
