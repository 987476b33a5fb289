"""The tag forest: one file that holds all tags of a bundle, laid out so that it is mapped and never parsed.

    prefix    64 bytes   magic, version, bytes of the header, bytes of the file, sha256; see `PREFIX`
    header    JSON       `ForestHeader`: what the file is, and where its sections lie
    sections  each at a multiple of 64 bytes, zeros between them, little-endian; see `SECTIONS`

The digest is that of the whole file with zeros in its own place. docs/forest.md says how a forest is read,
and answers are computed.
"""

import struct
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MAGIC: Final = b"MKFOREST"
FORMAT_VERSION: Final = 1
ALIGNMENT: Final = 64

# magic, format version, header bytes, file bytes, sha256, zeros
PREFIX: Final = struct.Struct("<8sIIQ32s8x")
DIGEST_OFFSET: Final = 24

DEPTH: Final = 6
NODES: Final = 63
LEAVES: Final = 64
MOST_SHIFT: Final = 15
MOST_CUTS: Final = 255  # of one dimension: a code is a byte
MOST_QUESTIONS: Final = 65_535  # in all: a question is 16 bits

# One complete tree. Node i asks `question[i]`; no leads to node 2 i + 1, yes to 2 i + 2; the leaf of the path
# is the number that its six answers spell, the root's first. A leaf is (low + 256 * (high - 128)) << shift.
TREE: Final = np.dtype(
    [("question", "<u2", NODES), ("shift", "<u2"), ("low", "u1", LEAVES), ("high", "u1", LEAVES)]
)

# One tag. Its margin is base + scale * (sum of its trees' leaves) + its linear term, and its probability
# 1 / (1 + exp(-(slope * margin + offset))), or where it has knots (margin, probability) interpolated between
# them. `threshold` is the probability from which it is published.
TAG: Final = np.dtype(
    [
        ("base", "<f4"),
        ("scale", "<f4"),
        ("slope", "<f4"),
        ("offset", "<f4"),
        ("threshold", "<f4"),
        ("first_tree", "<u4"),
        ("trees", "<u4"),
        ("linear", "<i4"),  # row of `linear`, or -1
        ("first_knot", "<u4"),
        ("knots", "<u4"),
        ("positives", "<u4"),  # images that it was trained on, with it and in all
        ("rows", "<u4"),
        ("average_precision", "<f4"),  # on held-back senders; NaN where that could not be measured
        ("digest", "u1", 12),  # of all that the tag is: export/tags/tables.py
    ]
)

# Each section's element and shape; the sizes are those of the header.
SECTIONS: Final = {
    "first_question": ("<u4", "dim + 1: where the questions of a dimension begin"),
    "cuts": ("<f4", "questions: question q of dimension f is `vector[f] >= cuts[q]`, ascending in f"),
    "tags": ("TAG", "tags"),
    "trees": ("TREE", "trees"),
    "linear": ("<f4", "linear terms x dim"),
    "knots": ("<f4", "knots x 2: margin, probability; both ascending in a tag"),
    "names": ("JSON", "an array of strings, a name a tag"),
}


class Section(BaseModel):
    """Where a section lies, in bytes from the beginning of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    offset: Annotated[int, Field(ge=0, multiple_of=ALIGNMENT)]
    bytes: Annotated[int, Field(ge=0)]


SectionName = Literal["first_question", "cuts", "tags", "trees", "linear", "knots", "names"]


class ForestHeader(BaseModel):
    """What a forest is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="as its maker calls it")]
    created_at: AwareDatetime
    space: Annotated[str, Field(description="of the vectors; those of another space get no tags from it")]
    dim: Annotated[int, Field(gt=0, description="of the vectors")]
    questions: Annotated[int, Field(gt=0, le=MOST_QUESTIONS)]
    tags: Annotated[int, Field(gt=0)]
    trees: Annotated[int, Field(ge=0)]
    sections: dict[SectionName, Section]


def tags_version(header: ForestHeader, digest: bytes) -> str:
    """What stands on every enriched event: the maker's version, and the beginning of the file's sha256."""
    return f"{header.version}-{digest.hex()[:12]}"
