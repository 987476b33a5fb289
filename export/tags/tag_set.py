"""A set of tags: from images that have them to the forest that serves, and its figures on held images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.errors import TagsError
from export.tags.measure import TagFigures, measure_tags
from export.tags.recipe import TagRecipe
from export.tags.tables import TagTable, write_forest
from export.tags.training import TagData
from export.tags.workers import train_tags
from worker.model.forest.codebook import Codebook, fit_codebook
from worker.model.forest.file import open_forest

Positives = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class TagImages:
    """Vectors float32 [n, dim], the sender of each, and by tag the images that have it, ascending."""

    vectors: NDArray[np.float32]
    groups: Sequence[str]
    positives: Positives


@dataclass(frozen=True)
class TagSet:
    """What was trained, and what was left out: tags with too few images, or that all images have."""

    data: TagData
    recipe: TagRecipe
    tables: list[TagTable]
    too_few: list[str] = field(default_factory=list)
    all_images: list[str] = field(default_factory=list)

    @property
    def codebook(self) -> Codebook:
        """Of the encoder."""
        return self.data.codebook

    def write(self, path: Path, space: str, version: str) -> str:
        """Write the forest; gives its tags_version."""
        return write_forest(path, self.codebook, space, version, self.tables)


def positives_of(tags: Sequence[Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    """By tag the images that have it, from the tags of each image."""
    found: dict[str, list[int]] = {}
    for image, own in enumerate(tags):
        for tag in dict.fromkeys(own):
            found.setdefault(tag, []).append(image)
    return {tag: np.array(images, np.int64) for tag, images in sorted(found.items())}


def train_tag_set(
    images: TagImages,
    recipe: TagRecipe,
    *,
    minimum_count: int = 5,
    processes: int = 1,
    dask: str | None = None,
    codebook: Codebook | None = None,
) -> TagSet:
    """Train every tag that has at least `minimum_count` images, and that not all images have.

    Args:
        images: to train on; senders are held back in turn for calibration.
        recipe: of every tag.
        minimum_count: images that a tag needs.
        processes: of this machine.
        dask: the address of a Dask scheduler.
        codebook: of the encoder, where it has one already; else one is fitted.

    Raises:
        TagsError: no tag has enough images.

    """
    count = len(images.vectors)
    too_few = [tag for tag, own in images.positives.items() if len(own) < max(1, minimum_count)]
    every = [tag for tag, own in images.positives.items() if len(own) == count]
    left = {*too_few, *every}
    asked = {tag: own for tag, own in images.positives.items() if tag not in left}
    if not asked:
        raise TagsError(
            f"no tag has {minimum_count} images and lacks in others, of {len(images.positives)} tags and "
            f"{count} images: give more images, or a lower --minimum-count"
        )
    data = TagData.of(images.vectors, images.groups, codebook or fit_codebook(images.vectors), recipe)
    tables = list(train_tags(asked, data, recipe, processes=processes, dask=dask))
    return TagSet(data, recipe, tables, too_few, every)


def measure_forest(path: Path, held: TagImages) -> tuple[dict[str, JsonValue], list[TagFigures]]:
    """Figures of the forest in `path` on images of senders that it was not trained on."""
    return measure_tags(open_forest(path), held.vectors, held.positives)
