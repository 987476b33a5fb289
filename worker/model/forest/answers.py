"""What a kernel is asked, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.model.forest.file import ForestFile

MOST_IMAGES = 512  # of a block


@dataclass(frozen=True)
class Hits:
    """Margins that reach what their tag asks for, each [hits]: which tag, which image, float32."""

    tags: NDArray[np.uint32]
    images: NDArray[np.uint32]
    margins: NDArray[np.float32]


class Block(Protocol):
    """At most `MOST_IMAGES` images whose questions are answered. Many threads may ask it at once."""

    def hits(self, least: NDArray[np.float32], begin: int, end: int) -> Hits:
        """Of the tags from `begin` to `end`, where the margin is at least `least[tag]`."""

    def margins(self, begin: int, end: int) -> NDArray[np.float32]:
        """Float32 [end - begin, images]."""


class Kernel(Protocol):
    """Answers a forest's questions on this machine. Releases the GIL in `Block.hits`."""

    name: str

    def block(self, forest: ForestFile, vectors: NDArray[np.float32]) -> Block:
        """Codes and answers of `vectors` float32 [images, dim]. One at a time: the next takes its memory."""
