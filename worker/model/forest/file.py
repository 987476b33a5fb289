"""Forest file: mapped into memory, and checked before any of it is believed."""

import hashlib
import json
import mmap
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.forest import (
    DIGEST_OFFSET,
    FORMAT_VERSION,
    MAGIC,
    MOST_SHIFT,
    PREFIX,
    TAG,
    TREE,
    ForestHeader,
    tags_version,
)
from worker.errors import BundleError
from worker.model.forest.codebook import Codebook

_MOST_HEADER_BYTES = 1_000_000
_PIECE = 1 << 20


@dataclass(frozen=True)
class ForestFile:
    """A forest, checked. Its arrays lie in the mapped file: `trees` TREE [trees], `tags` TAG [tags].

    `linear` is float32 [rows, dim], `knots` float32 [knots, 2], `names` one a tag.
    """

    header: ForestHeader
    version: str
    codebook: Codebook
    tags: NDArray[np.void]
    trees: NDArray[np.void]
    linear: NDArray[np.float32]
    knots: NDArray[np.float32]
    names: list[str]


def open_forest(path: Path, *, apart: bool = False) -> ForestFile:
    """The forest in `path`.

    Args:
        path: the file.
        apart: serve from a copy without a name, so that nobody who writes to `path` changes what was checked.

    Raises:
        BundleError: it cannot be read, is no forest, is damaged, or contradicts itself.

    """
    try:
        with path.open("rb") as file:
            if not apart:
                return _checked(path, _mapped(path, file))
            with tempfile.TemporaryFile() as copy:
                while piece := file.read(_PIECE):
                    copy.write(piece)
                copy.flush()
                return _checked(path, _mapped(path, copy))
    except OSError as error:
        raise BundleError(f"the forest {path} cannot be read: {error}") from error


def _mapped(path: Path, file: IO[bytes]) -> mmap.mmap:
    if file.seek(0, 2) < PREFIX.size:
        raise BundleError(f"{path} is no forest of tags: it ends in its first {PREFIX.size} bytes")
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _checked(path: Path, data: mmap.mmap) -> ForestFile:
    magic, version, header_bytes, size, digest = PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise BundleError(f"{path} is no forest of tags: it begins with {magic!r}")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} is of format {version}, this program reads {FORMAT_VERSION}: write it again with "
            "`mekiki tags` of this version"
        )
    if size != len(data):
        raise BundleError(f"{path} is damaged: it has {len(data)} bytes and was written with {size}")
    found = digest_of(data)
    if found != digest:
        raise BundleError(
            f"{path} is damaged: its sha256 is {found.hex()}, it was written with {digest.hex()}"
        )
    try:
        if header_bytes > min(_MOST_HEADER_BYTES, len(data) - PREFIX.size):
            raise ValueError(f"a header of {header_bytes} bytes")
        header = ForestHeader.model_validate_json(data[PREFIX.size : PREFIX.size + header_bytes])
        forest = _read(header, tags_version(header, digest), data)
        _require_sense(forest)
    except (ValidationError, ValueError, KeyError) as error:
        raise BundleError(f"{path} contradicts itself: {error}") from error
    return forest


def digest_of(data: mmap.mmap | bytes | bytearray) -> bytes:
    """Sha256 of a forest's bytes, with zeros where the digest stands."""
    with memoryview(data) as view:
        whole = hashlib.sha256(view[:DIGEST_OFFSET])
        whole.update(bytes(32))
        whole.update(view[DIGEST_OFFSET + 32 :])
    return whole.digest()


def _read(header: ForestHeader, version: str, data: mmap.mmap) -> ForestFile:
    def section(name: Any, dtype: Any, count: int | None = None) -> NDArray[Any]:
        place, dtype = header.sections[name], np.dtype(dtype)
        if place.offset + place.bytes > len(data) or place.bytes % dtype.itemsize:
            raise ValueError(f"the section {name} of {place.bytes} bytes at {place.offset} does not fit")
        found = place.bytes // dtype.itemsize
        if count is not None and found != count:
            raise ValueError(f"the section {name} has {found} entries, not {count}")
        return np.frombuffer(data, dtype, found, place.offset)

    names = json.loads(section("names", "u1").tobytes())
    linear, knots = section("linear", "<f4"), section("knots", "<f4")
    return ForestFile(
        header, version,
        Codebook(
            section("first_question", "<u4", header.dim + 1), section("cuts", "<f4", header.questions)
        ),
        section("tags", TAG, header.tags), section("trees", TREE, header.trees),
        linear.reshape(-1, header.dim), knots.reshape(-1, 2), names,
    )  # fmt: skip


def _require_sense(forest: ForestFile) -> None:
    """What the kernel does not check again: every number that points somewhere points inside."""
    header, tags, book = forest.header, forest.tags, forest.codebook
    first = book.first.astype(np.int64)
    spans = np.diff(first)
    _require(first[0] == 0 and first[-1] == header.questions, "the dimensions' questions do not add up")
    _require(bool((spans >= 0).all() and (spans <= 255).all()), "a dimension has more than 255 cuts")
    _require(bool(np.isfinite(book.cuts).all()), "a cut is not finite")
    ascending = np.diff(book.cuts) > 0
    ascending[first[1:-1][(first[1:-1] > 0) & (first[1:-1] < header.questions)] - 1] = True
    _require(bool(ascending.all()), "the cuts of a dimension do not ascend")
    if header.trees:
        highest = max(
            int(forest.trees["question"][at : at + 65_536].max()) for at in range(0, header.trees, 65_536)
        )
        _require(highest < header.questions, f"a tree asks question {highest} of {header.questions}")
        _require(int(forest.trees["shift"].max()) <= MOST_SHIFT, f"a tree's shift is over {MOST_SHIFT}")
    last = tags["first_tree"].astype(np.int64) + tags["trees"]
    _require(bool((last <= header.trees).all()), "a tag has trees beyond the last")
    _require(_fit_in_32_bits(forest), "a tag's leaves may add up to more than 32 bits")
    _require(
        bool(((tags["linear"] >= -1) & (tags["linear"] < len(forest.linear))).all()),
        "a tag has a linear term beyond the last",
    )
    last = tags["first_knot"].astype(np.int64) + tags["knots"]
    _require(bool((last <= len(forest.knots)).all()), "a tag has knots beyond the last")
    for field in ("base", "scale", "slope", "offset", "threshold"):
        _require(bool(np.isfinite(tags[field]).all()), f"a tag's {field} is not finite")
    _require(bool((tags["slope"] > 0).all()), "a tag's probability does not rise with its margin")
    _require(bool(np.isfinite(forest.linear).all()), "a linear term is not finite")
    _require(bool(np.isfinite(forest.knots).all()), "a knot is not finite")
    names = forest.names
    _require(
        isinstance(names, list) and all(isinstance(name, str) and name for name in names),
        "the names are no list of strings",
    )
    _require(len(names) == header.tags, f"there are {len(names)} names for {header.tags} tags")
    _require(len(set(names)) == len(names), "a name stands twice")


def _fit_in_32_bits(forest: ForestFile) -> bool:
    """Whether no image can make the leaves of a tag add up to more than the kernels' integers hold."""
    largest = np.concatenate([[0], np.cumsum(np.int64(1) << (forest.trees["shift"].astype(np.int64) + 15))])
    first = forest.tags["first_tree"].astype(np.int64)
    sums = largest[first + forest.tags["trees"]] - largest[first]
    return bool((sums < 1 << 31).all())


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
