"""Tables: from a tag's booster to its trees in the forest, and from tags to the file that serves."""

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xgboost
from numpy.typing import NDArray

from export.errors import TagsError
from schemas.forest import (
    ALIGNMENT,
    DEPTH,
    DIGEST_OFFSET,
    FORMAT_VERSION,
    LEAVES,
    MAGIC,
    MOST_SHIFT,
    NODES,
    PREFIX,
    TAG,
    TREE,
    ForestHeader,
    Section,
)
from worker.model.forest.codebook import Codebook
from worker.model.forest.file import ForestFile, digest_of

_LARGEST = 32_767  # of an int16 leaf
_FINEST = 2.0**-20  # of margins, about a millionth


@dataclass(frozen=True)
class TagTable:
    """All that one tag is in a forest; see `schemas.forest.TAG`. `trees` is TREE [trees], `linear` [dim]."""

    name: str
    trees: NDArray[np.void]
    scale: float
    base: float = 0.0
    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5
    linear: NDArray[np.float32] | None = None
    knots: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))
    positives: int = 0
    rows: int = 0
    average_precision: float = float("nan")

    def digest(self) -> bytes:
        """Twelve bytes of sha256 over all of it: a tag that was not touched keeps its digest."""
        numbers = (
            self.scale, self.base, self.slope, self.offset, self.threshold, self.average_precision,
        )  # fmt: skip
        whole = hashlib.sha256(self.name.encode())
        whole.update(struct.pack("<6f2I", *numbers, self.positives, self.rows))
        whole.update(self.trees.tobytes())
        whole.update(b"" if self.linear is None else self.linear.astype("<f4").tobytes())
        whole.update(self.knots.astype("<f4").tobytes())
        return whole.digest()[:12]


def trees_of(booster: xgboost.Booster, codebook: Codebook) -> tuple[NDArray[np.void], float]:
    """The trees of a booster that was trained on codes, and the scale of their leaves.

    Raises:
        TagsError: a tree is deeper than six, or the booster is no sum of binary trees for one output.

    """
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    if model["name"] != "gbtree" or any(model["model"]["tree_info"]):
        raise TagsError("a tag's booster must be a gbtree with one output")
    trees = [_Walk(tree, codebook) for tree in model["model"]["trees"]]
    found = np.zeros(len(trees), TREE)
    leaves = np.zeros((len(trees), LEAVES), np.float64)
    for place, tree in enumerate(trees):
        tree.fill(found[place]["question"], leaves[place])
    scale, shifts = _scale_of(np.abs(leaves).max(axis=1, initial=0.0))
    units = scale * (1 << shifts)[:, np.newaxis]
    set_leaves(found, np.clip(np.rint(leaves / units), -_LARGEST, _LARGEST).astype(np.int16))
    found["shift"] = shifts
    # Trees of one shift follow each other; a sum has no order.
    return found[np.argsort(-shifts, kind="stable")], scale


def _scale_of(largest: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
    """A tag's scale, and each tree's shift, from the largest leaf [trees] of each.

    The first trees of a rare tag have leaves a hundred times those of the last: one scale for all would round
    the margin by more than a thousandth.
    """
    scale = _FINEST
    while True:
        with np.errstate(divide="ignore"):
            shifts = np.ceil(np.log2(np.maximum(largest / (scale * _LARGEST), 1))).astype(np.int64)
        if shifts.max(initial=0) <= MOST_SHIFT and (1 << shifts + 15).sum() < 1 << 31:
            return float(np.float32(scale)), shifts
        scale *= 2


def set_leaves(trees: NDArray[np.void], leaves: NDArray[np.int16]) -> None:
    """Write int16 leaves [trees, 64] as the two bytes that the kernel looks up."""
    whole = leaves.astype(np.int32) + (128 << 8)
    trees["low"], trees["high"] = (whole & 255).astype(np.uint8), (whole >> 8).astype(np.uint8)


class _Walk:
    """One tree of XGBoost's JSON, walked as a complete tree of depth 6."""

    def __init__(self, tree: dict[str, Any], codebook: Codebook) -> None:
        self._left, self._right = tree["left_children"], tree["right_children"]
        self._feature, self._value = tree["split_indices"], tree["split_conditions"]
        self._first = codebook.first.tolist()
        if any(tree.get("split_type", ())):
            raise TagsError("a tag's booster must not split on categories")

    def fill(self, question: NDArray[np.uint16], leaves: NDArray[np.float64]) -> None:
        """Write the questions [63] and the leaves [64]."""
        self._place(0, 0, 0, question, leaves)

    def _place(
        self, node: int, at: int, level: int, question: NDArray[np.uint16], leaves: NDArray[np.float64]
    ) -> None:
        """Node `node` at place `at` of the heap. A leaf above the last level fills all that is below it."""
        node = self._asking(node)
        if self._left[node] == -1:
            first = (at + 1 << DEPTH - level) - 1 - NODES
            leaves[first : first + (1 << DEPTH - level)] = self._value[node]
        elif level == DEPTH:
            raise TagsError("a tree is deeper than 6: train with max_depth 6 to serve the tag")
        else:
            question[at] = self._first[self._feature[node]] + self._least(node) - 1
            self._place(self._left[node], 2 * at + 1, level + 1, question, leaves)
            self._place(self._right[node], 2 * at + 2, level + 1, question, leaves)

    def _least(self, node: int) -> int:
        """The least code that goes right: XGBoost goes left where code < condition."""
        return int(np.ceil(self._value[node]))

    def _asking(self, node: int) -> int:
        """The first node from here on whose question has two answers in this codebook."""
        while self._left[node] != -1:
            feature, least = self._feature[node], self._least(node)
            if least < 1:
                node = self._right[node]
            elif least > self._first[feature + 1] - self._first[feature]:
                node = self._left[node]
            else:
                break
        return node


def table_at(forest: ForestFile, place: int) -> TagTable:
    """The tag at `place` of a forest, its bytes unchanged."""
    own = forest.tags[place]
    first, knot = int(own["first_tree"]), int(own["first_knot"])
    return TagTable(
        name=forest.names[place],
        trees=forest.trees[first : first + int(own["trees"])],
        linear=None if own["linear"] < 0 else forest.linear[int(own["linear"])],
        knots=forest.knots[knot : knot + int(own["knots"])],
        positives=int(own["positives"]),
        rows=int(own["rows"]),
        **{
            name: float(own[name])
            for name in ("scale", "base", "slope", "offset", "threshold", "average_precision")
        },
    )


def write_forest(path: Path, codebook: Codebook, space: str, version: str, tables: Sequence[TagTable]) -> str:
    """Write the forest of `tables` by an atomic rename; gives its tags_version.

    Raises:
        TagsError: a name stands twice, or there are no tags.

    """
    names = [table.name for table in tables]
    if len(set(names)) != len(names) or not names:
        raise TagsError("a forest needs tags, and each name once")
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb+") as file:
        file.write(bytes(PREFIX.size))
        sections = _Sections(file)
        room = sections.leave_room_for_header()
        directory = _directory(tables)
        sections.add("first_question", [codebook.first.astype("<u4").tobytes()])
        sections.add("cuts", [codebook.cuts.astype("<f4").tobytes()])
        sections.add("tags", [directory.tobytes()])
        sections.add("trees", (table.trees.tobytes() for table in tables))
        sections.add("linear", (t.linear.astype("<f4").tobytes() for t in tables if t.linear is not None))
        sections.add("knots", (table.knots.astype("<f4").tobytes() for table in tables))
        sections.add("names", [json.dumps(names, ensure_ascii=False).encode()])
        size = file.seek(0, 2)
        header = ForestHeader(
            version=version, created_at=datetime.now(UTC).replace(microsecond=0), space=space,
            dim=codebook.dim, questions=len(codebook.cuts), tags=len(names),
            trees=int(directory["trees"].sum()), sections=sections.places,
        )  # fmt: skip
        text = header.model_dump_json().encode()
        assert len(text) <= room
        file.seek(PREFIX.size)
        file.write(text)
        file.seek(0)
        file.write(PREFIX.pack(MAGIC, FORMAT_VERSION, len(text), size, bytes(32)))
        file.flush()
        digest = _digest_of_file(temporary)
        file.seek(DIGEST_OFFSET)
        file.write(digest)
    temporary.replace(path)
    return f"{version}-{digest.hex()[:12]}"


def _digest_of_file(path: Path) -> bytes:
    import mmap  # noqa: PLC0415

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return digest_of(data)


class _Sections:
    """Writes sections one after another, and remembers where they lie."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.places: dict[Any, Section] = {}

    def leave_room_for_header(self) -> int:
        """Bytes that the header may have."""
        room = 2048 - PREFIX.size
        self._file.write(bytes(room))
        return room

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        start = self._file.tell()
        size = sum(self._file.write(piece) for piece in pieces)
        self._file.write(bytes(-size % ALIGNMENT))
        self.places[name] = Section(offset=start, bytes=size)


def _directory(tables: Sequence[TagTable]) -> NDArray[np.void]:
    found = np.zeros(len(tables), TAG)
    tree = knot = linear = 0
    for own, table in zip(found, tables, strict=True):
        for name in ("base", "scale", "slope", "offset", "threshold", "average_precision"):
            own[name] = getattr(table, name)
        own["first_tree"], own["trees"] = tree, len(table.trees)
        own["first_knot"], own["knots"] = knot, len(table.knots)
        own["linear"] = -1 if table.linear is None else linear
        own["positives"], own["rows"] = table.positives, table.rows
        own["digest"] = np.frombuffer(table.digest(), np.uint8)
        tree, knot = tree + len(table.trees), knot + len(table.knots)
        linear += table.linear is not None
    return found
