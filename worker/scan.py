"""Scan: the score role's stages over a folder, one JSON line a file. For backfill and tuning."""

import errno
import json
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from schemas.events import UPLOADED, ImageReference, ImageUploaded
from schemas.vector import Vector
from worker.errors import ConfigurationError
from worker.score.outcome import Outcome, Rejected, Several, Verdict
from worker.score.pipeline import Pipeline
from worker.score.prepare import Prepared


@dataclass(eq=False)
class ScannedFile:
    """A file under way; `path` is relative to the scanned folder."""

    path: str
    outcome: Outcome | None = None


def scan(
    folder: Path,
    out: TextIO,
    pipeline: Pipeline[ScannedFile],
    *,
    vectors: bool,
    max_in_flight: int,
    progress: Callable[[], object],
) -> dict[str, int]:
    """Write one line for each file under `folder` to `out`, ordered by path, whatever the folder's size.

    Returns:
        How many files got which outcome or decision.

    Raises:
        StageError: a file could not be read by our own fault, or a model failed.

    """
    counts: dict[str, int] = {}
    waiting: deque[ScannedFile] = deque()
    files = files_under(folder)
    exhausted = False
    while not exhausted or waiting:
        while not exhausted and len(waiting) < max_in_flight:
            path = next(files, None)
            if path is None:
                exhausted = True
                break
            scanned = ScannedFile(path)
            waiting.append(scanned)
            pipeline.submit(scanned, partial(_upload, folder, path))
        for completed in pipeline.completed(timeout=0.5):
            assert not isinstance(completed.outcome, Several | Prepared)  # a file is one event, never held
            completed.ticket.outcome = completed.outcome
        while waiting and (outcome := waiting[0].outcome) is not None:
            line = _line(waiting.popleft().path, outcome, vectors)
            key = line.get("decision", line["outcome"])
            counts[key] = counts.get(key, 0) + 1
            out.write(json.dumps(line) + "\n")
            progress()
    return counts


def files_under(folder: Path) -> Iterator[str]:
    """Paths of all files below `folder`, relative to it, a folder's in order of their names.

    Links are followed, wherever they lead; a link to a folder that it stands in is a file that is none.
    A folder that cannot be read is one, too.

    Raises:
        ConfigurationError: `folder` itself is not a folder that can be read.

    """
    try:
        status = folder.stat()
        entries = _entries(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be scanned: {error}") from error
    yield from _Walk(folder).files(entries, "", ((status.st_dev, status.st_ino),))


class _Walk:
    """Files below `root`. Of folders that are linked inside linked folders, each is walked once.

    Otherwise folders that link to each other would be as many paths as there are orders of them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._linked: set[tuple[int, int]] = set()

    def files(
        self, entries: list[str], within: str, above: tuple[tuple[int, int], ...], linked: bool = False
    ) -> Iterator[str]:
        for name in entries:
            path = f"{within}{name}"
            try:
                inner, identity, is_link = self._folder(path, above, linked)
            except OSError:  # no folder, or one that cannot be read: whoever reads it will say
                yield path
                continue
            if inner is not None:
                yield from self.files(inner, f"{path}/", (*above, identity), linked or is_link)

    def _folder(
        self, path: str, above: tuple[tuple[int, int], ...], linked: bool
    ) -> tuple[list[str] | None, tuple[int, int], bool]:
        """A folder's entries, None where it was walked already."""
        status = (self._root / path).stat()
        identity = (status.st_dev, status.st_ino)
        is_link = (self._root / path).is_symlink()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(path)
        if identity in above:
            raise OSError(errno.ELOOP, "a link to a folder that it stands in", path)
        if is_link and linked:
            if identity in self._linked:
                return None, identity, is_link
            self._linked.add(identity)
        return _entries(self._root / path), identity, is_link


def _entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _upload(folder: Path, path: str) -> ImageUploaded:
    modified = datetime.now(UTC)
    with suppress(OSError):  # a file that is gone is found out by the fetch stage
        modified = datetime.fromtimestamp((folder / path).stat().st_mtime, UTC)
    # model_construct: a file name need not be valid Unicode.
    return ImageUploaded.model_construct(
        type=UPLOADED,
        event_id=path,
        image_id=path,
        listing_id=None,
        category=None,
        uploaded_at=modified,
        image=ImageReference.model_construct(url=None, path=path, data=None),
    )


def _line(path: str, outcome: Outcome, vectors: bool) -> dict[str, Any]:
    if isinstance(outcome, Rejected):
        return {
            "path": path,
            "outcome": "rejection",
            "reason": outcome.rejection.reason,
            "detail": outcome.rejection.detail,
        }
    assert isinstance(outcome, Verdict)  # a scan has no deletions
    line: dict[str, Any] = {
        "path": path,
        "outcome": "result",
        "decision": outcome.decision,
        "reasons": [reason.model_dump() for reason in outcome.reasons],
        "scores": {name: round(value, 6) for name, value in outcome.scores.items()},
        "tags": [tag.model_dump() for tag in outcome.tags],
    }
    if outcome.codes:
        line["codes"] = [code.model_dump() for code in outcome.codes]
    if vectors and outcome.embedding is not None:
        line["vector"] = Vector.from_array(outcome.embedding).model_dump()
    return line
