"""Search by label in several spaces side by side: what a training gives, and what it has to beat."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.data import Columns, Dataset, parse_source, read_sources
from export.retrieval import retrieval
from export.training_split import shown

AGAINST = ", against those trained on"
FROZEN, HISTOGRAM = "frozen encoder", "histogram of colours"
FIGURES = ("R@1", "R@5", "nDCG@5", "mAP")
Table = dict[str, JsonValue]


def sources_of(
    dataset: Dataset, sources: Sequence[str], columns: Columns, encoding: str | None
) -> NDArray[np.str_]:
    """The source that each image is of [n], by its own name, with its folder's where two are called alike."""
    alike = Counter(map(shown, sources))
    named = {
        example.path: shown(source) if alike[shown(source)] == 1 else f"{_folder(source)}/{shown(source)}"
        for source in sources
        for example in read_sources([parse_source(source)], columns, encoding).examples
    }
    return np.array([named[example.path] for example in dataset.examples])


def _folder(source: str) -> str:
    return Path(source.partition(":")[0]).resolve().parent.name


def side_by_side(
    spaces: Mapping[str, NDArray[np.float32]], dataset: Dataset, sources: NDArray[np.str_]
) -> Table:
    """R@1, R@5, nDCG@5 and mAP by source and space: `{"SOURCE: SPACE": figures}`.

    An image asks for others of its label in its own source; those of its group (a sender's look-alikes, or
    itself) are left out, as are images without a label.

    Args:
        spaces: float32 [n, dim] of length 1, by name.
        dataset: the images.
        sources: of each image [n].

    """
    labels = np.array([example.label for example in dataset.examples])
    groups = np.array([example.group for example in dataset.examples])
    table: Table = {}
    for source in dict.fromkeys(sources.tolist()):
        rows = (sources == source) & (labels != "")
        if len(set(labels[rows].tolist())) < 2:
            continue
        same = groups[rows][:, None] == groups[rows][None, :]
        for name, vectors in spaces.items():
            own = vectors[rows]
            table[f"{source}: {name}"] = retrieval(own, labels[rows], own, labels[rows], same)
    return table


def against_others(
    spaces: Mapping[str, NDArray[np.float32]],
    dataset: Dataset,
    sources: NDArray[np.str_],
    others: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.str_],
) -> Table:
    """The same figures where images ask for those of their label among all of `labels` [m], whose vectors
    are `others` [m, dim] by space: those that were trained on.
    """
    asked = np.array([example.label for example in dataset.examples])
    table: Table = {}
    for source in dict.fromkeys(sources.tolist()):
        rows = (sources == source) & (asked != "")
        for name, vectors in spaces.items():
            figures = retrieval(vectors[rows], asked[rows], others[name], labels)
            if figures["queries"]:
                table[f"{source}{AGAINST}: {name}"] = figures
    return table
