"""Forests drawn at random, and what they must answer, computed node by node."""

from pathlib import Path

import numpy as np

from export.tags.tables import TagTable, set_leaves, write_forest
from schemas.forest import LEAVES, NODES, TREE
from worker.model.forest.codebook import Codebook, fit_codebook
from worker.model.forest.file import ForestFile

DIM = 6


def drawn_codebook(rng: np.random.Generator, dim: int = DIM) -> Codebook:
    """Of normal numbers; the last dimension never changes, and has no cut."""
    vectors = rng.normal(size=(600, dim)).astype(np.float32)
    vectors[:, -1] = 1
    return fit_codebook(vectors)


def drawn_table(rng: np.random.Generator, book: Codebook, name: str, trees: int, **own: object) -> TagTable:
    """A tag of random trees."""
    found = np.zeros(trees, TREE)
    found["question"] = rng.integers(0, len(book.cuts), (trees, NODES))
    set_leaves(found, rng.integers(-32767, 32768, (trees, LEAVES)).astype(np.int16))
    found["shift"] = np.sort(rng.integers(0, 4, trees))
    return TagTable(name, found, 1e-5, **own)


def drawn_forest(path: Path, rng: np.random.Generator, tags: int = 7, trees: int = 5) -> list[TagTable]:
    """Writes a forest to `path`; every other tag has a linear term, and the last one knots."""
    book = drawn_codebook(rng)
    tables = [
        drawn_table(
            rng,
            book,
            f"tag {i}",
            trees if i else 300,  # more than a kernel adds up in one go
            base=-0.5 + 0.1 * i,
            slope=1 + 0.2 * i,
            offset=-0.3,
            linear=rng.normal(size=DIM).astype(np.float32) if i % 2 else None,
            knots=np.array([[-1, 0.1], [0, 0.4], [2, 0.9]], np.float32)
            if i == tags - 1
            else np.empty((0, 2)),
        )
        for i in range(tags)
    ]
    write_forest(path, book, "drawn", "1", tables)
    return tables


def walked(forest: ForestFile, vectors: np.ndarray) -> np.ndarray:
    """Margins [n, tags], by walking every tree with every vector."""
    book, margins = forest.codebook, []
    dimension = np.repeat(np.arange(book.dim), np.diff(book.first.astype(int)))
    yes = vectors[:, dimension] >= book.cuts  # [n, questions]
    for tag in forest.tags:
        total = np.zeros(len(vectors), int)
        for tree in forest.trees[int(tag["first_tree"]) : int(tag["first_tree"]) + int(tag["trees"])]:
            node = np.zeros(len(vectors), int)
            for _ in range(6):
                node = 2 * node + 1 + yes[np.arange(len(vectors)), tree["question"][node]]
            leaf = node - NODES
            value = tree["low"][leaf].astype(int) + 256 * (tree["high"][leaf].astype(int) - 128)
            total += value << int(tree["shift"])
        linear = vectors @ forest.linear[int(tag["linear"])] if tag["linear"] >= 0 else 0
        margins.append(tag["base"] + tag["scale"] * total + linear)
    return np.stack(margins, axis=1)
