"""The starter bundle from photos to heads: what is trained on what, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.embedding.edits import every_edit, random_edits
from export.embedding.losses import NO_LABEL
from export.embedding.metric_training import MetricSettings
from export.embedding.pixels import SIDE, PixelSet
from export.embedding.training import (
    TrainingImages,
    TrunkSettings,
    features_of,
    join,
)
from export.embedding.trunk import Trunk
from export.preference.head import PreferenceHead, train_preference
from export.preference.ladder import ladder
from export.render.uploads import Kind
from export.starter.filtering import CLASSES, FilterSettings
from export.starter.images import browser_pixels, edited_pixels, photo_pixels, rendered_pixels
from export.starter.photos import Photo, Split, of_split, read_clothing, read_grocery
from export.starter.vector_heads import VectorHeads, train_vector_heads
from export.tags.recipe import TagRecipe

SPLITS: tuple[Split, ...] = ("train", "calibration", "test")
# Seeds of the rendered sets. Tests and the demo use others, so that no image is ever shared.
SEED_NOTICE, SEED_PRODUCT, SEED_POSTER, SEED_QR_PHOTO = 1, 2, 3, 4
SEED_BROWSER, SEED_TYPST_NOTICE, SEED_TYPST_POSTER = 5, 6, 7
SEED_EDITS = 8
SEED_HELD = 1000


@dataclass(frozen=True)
class Recipe:
    """Sizes and lengths of the whole training."""

    notices: int = 5000
    browser_notices: int = 3000
    typst_notices: int = 3000
    products: int = 8000
    qr_posters: int = 1200
    typst_qr_posters: int = 1000
    qr_photos: int = 1600
    photo_repeats: int = 4  # how often an epoch shows each real photo
    preference_photos: int = 1200
    edits: int = 6  # of each training photo, for the vector of copies
    tags: TagRecipe = field(default_factory=TagRecipe)
    trunk: TrunkSettings = field(default_factory=TrunkSettings)
    vectors: MetricSettings = field(default_factory=MetricSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)


@dataclass(frozen=True)
class Sources:
    """All images: photos by split, and the rendered training sets."""

    photos: dict[str, list[Photo]]
    pixels: dict[str, PixelSet]
    edited: NDArray[np.uint8]
    held_edits: dict[str, NDArray[np.uint8]]
    names: list[str]

    def products(self, split: str) -> list[Photo]:
        """Clothing then grocery photos of one split."""
        return self.photos[f"clothing-{split}"] + self.photos[f"grocery-{split}"]


def load_sources(data: Path, cache: Path, recipe: Recipe) -> Sources:
    """Read, decode and render everything that training needs, through the cache."""
    photos: dict[str, list[Photo]] = {}
    pixels: dict[str, PixelSet] = {}
    for group, found in (("clothing", read_clothing(data)), ("grocery", read_grocery(data))):
        for split in SPLITS:
            key = f"{group}-{split}"
            photos[key] = of_split(found, split)
            pixels[key] = photo_pixels(cache, key, [photo.path for photo in photos[key]])
    trained = [p.path for p in photos["clothing-train"] + photos["grocery-train"]]
    grounds = trained[::8]
    pixels["product"] = rendered_pixels(cache, "product", SEED_PRODUCT, recipe.products, trained)
    drawn: tuple[tuple[Kind, int, int], ...] = (
        ("notice", SEED_NOTICE, recipe.notices),
        ("typst_notice", SEED_TYPST_NOTICE, recipe.typst_notices),
        ("qr_poster", SEED_POSTER, recipe.qr_posters),
        ("typst_qr_poster", SEED_TYPST_POSTER, recipe.typst_qr_posters),
        ("qr_photo", SEED_QR_PHOTO, recipe.qr_photos),
    )
    for kind, seed, count in drawn:
        pixels[kind] = rendered_pixels(cache, kind, seed, count, grounds)
    pixels["browser_notice"] = browser_pixels(cache, SEED_BROWSER, recipe.browser_notices, grounds)
    names = sorted(
        {tag for photo in photos["clothing-train"] + photos["grocery-train"] for tag in photo.tags}
    )
    edited = edited_pixels(
        cache, f"edits-{recipe.edits}", trained, partial(random_edits, count=recipe.edits), SEED_EDITS
    )
    held_edits: dict[str, NDArray[np.uint8]] = {}
    for split in ("calibration", "test"):
        paths = [photo.path for photo in photos[f"clothing-{split}"]]
        held_edits[split] = edited_pixels(cache, f"every-edit-{split}", paths, every_edit, SEED_EDITS)
    return Sources(photos, pixels, edited, held_edits, names)


def label_column(sources: Sources, photos: Sequence[Photo]) -> NDArray[np.int64]:
    """The label of each photo as its column in `names`, NO_LABEL where it says nothing."""
    column = {name: i for i, name in enumerate(sources.names)}
    return np.array([column[p.tags[0]] if p.tags else NO_LABEL for p in photos], dtype=np.int64)


def train_heads(trunk: Trunk, sources: Sources, recipe: Recipe, seed: int) -> VectorHeads:
    """Embedding and copy vector, on the training photos."""
    photos = [sources.pixels[f"{group}-train"].exact for group in ("clothing", "grocery")]
    labels = label_column(sources, sources.products("train"))
    return train_vector_heads(trunk, np.concatenate(photos), sources.edited, labels, recipe.vectors, seed)


def training_images(sources: Sources, photo_repeats: int) -> TrainingImages:
    """What the trunk sees: photos, changed products, notices of three renderers, codes."""
    products = sources.products("train")
    own = label_column(sources, products)
    photos = [sources.pixels["clothing-train"], sources.pixels["grocery-train"]] * photo_repeats
    changed = sources.pixels["product"]
    # Changed product i was made from photo i modulo their number, and keeps its label.
    shown = [np.tile(own, photo_repeats), own[np.arange(len(changed)) % len(own)]]
    parts, types = [*photos, changed], [np.zeros(sum(map(len, shown)), dtype=np.int64)]
    for index, name in ((1, "text"), (2, "qr")):
        renders = [sources.pixels[kind] for kind in CLASSES[name]]
        parts.extend(renders)
        types.append(np.full(sum(map(len, renders)), index, dtype=np.int64))
        shown.append(np.full(len(types[-1]), NO_LABEL))
    return TrainingImages(join(parts), np.concatenate(types), np.concatenate(shown), len(sources.names))


def preference_ladders(photos: Sequence[Photo], count: int, seed: int) -> NDArray[np.uint8]:
    """Degraded versions of up to `count` photos: uint8 [count, versions, SIDE, SIDE, 3]."""
    rng = np.random.default_rng([seed, 77])
    chosen = rng.permutation(len(photos))[:count]
    ladders = []
    for i in chosen:
        with Image.open(photos[int(i)].path) as image:
            ladders.append(ladder(rng, image.convert("RGB"), SIDE))
    return np.stack(ladders)


def ladder_quality(trunk: Trunk, ladders: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Quality vectors of ladders: float32 [photos, versions, width]."""
    flat = features_of(trunk, ladders.reshape(-1, *ladders.shape[2:])).quality
    return flat.reshape(*ladders.shape[:2], -1)


def train_preference_head(trunk: Trunk, sources: Sources, recipe: Recipe, seed: int) -> PreferenceHead:
    """RankNet on degraded versions of training photos."""
    ladders = preference_ladders(sources.products("train"), recipe.preference_photos, seed)
    return train_preference(ladder_quality(trunk, ladders), seed)
