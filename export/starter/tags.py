"""The starter's tags: labels that people gave to the photos, and colours and patterns of their pixels."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from export.embedding.trunk import Trunk
from export.starter.recipe import Sources
from export.starter.vector_heads import VectorHeads, vectors_of
from export.tags.appearance import appearance_tags
from export.tags.recipe import TagRecipe
from export.tags.tag_set import TagImages, measure_forest, positives_of, train_tag_set

_GROUPS = ("clothing", "grocery")


def train_starter_tags(
    trunk: Trunk, heads: VectorHeads, sources: Sources, recipe: TagRecipe, space: str, path: Path
) -> dict[str, JsonValue]:
    """Train on photos of the training split, write the forest to `path`; gives its figures on held senders.

    `space` is that of the embedding. Colours and patterns are what the pixels in the middle
    of a photo say, so that their figures tell how well the embedding keeps that, not what people would say.
    """
    found = train_tag_set(tag_images(trunk, heads, sources, "train"), recipe, processes=os.cpu_count() or 1)
    found.write(path, space, "1")
    figures: dict[str, JsonValue] = {"left out, too few images": len(found.too_few)}
    for name, groups in {"all": _GROUPS, **{group: (group,) for group in _GROUPS}}.items():
        figures[name], _ = measure_forest(path, tag_images(trunk, heads, sources, "test", groups))
    return figures


def tag_images(
    trunk: Trunk, heads: VectorHeads, sources: Sources, split: str, groups: Sequence[str] = _GROUPS
) -> TagImages:
    """The photos of a split that somebody labelled, with their colours and pattern."""
    vectors, tags, senders = [], [], []
    for key in (f"{group}-{split}" for group in groups):
        photos, pixels = sources.photos[key], sources.pixels[key].exact
        vectors.append(vectors_of(trunk, heads, pixels).embedding)
        tags += [
            (*photo.tags, *seen) if photo.tags else ()
            for photo, seen in zip(photos, appearance_tags(pixels), strict=True)
        ]
        senders += [photo.sender or photo.path.name for photo in photos]
    known = [place for place, own in enumerate(tags) if own]
    return TagImages(
        np.concatenate(vectors)[known],
        [senders[place] for place in known],
        positives_of([tags[place] for place in known]),
    )
