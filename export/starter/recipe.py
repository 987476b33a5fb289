"""The starter bundle from photos to heads: what is trained on what, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.starter.filtering import FilterSettings
from export.starter.images import SIDE, PixelSet, browser_pixels, photo_pixels, rendered_pixels
from export.starter.photos import Photo, Split, of_split, read_clothing, read_grocery
from export.starter.preference import PreferenceHead, ladder, train_preference
from export.starter.training import (
    NO_LABEL,
    TrainingImages,
    TrunkSettings,
    features_of,
    join,
)
from export.starter.trunk import Trunk

SPLITS: tuple[Split, ...] = ("train", "calibration", "test")
# Seeds of the rendered sets. Tests and the demo use others, so that no image is ever shared.
SEED_NOTICE, SEED_PRODUCT, SEED_POSTER, SEED_QR_PHOTO = 1, 2, 3, 4
SEED_BROWSER = 5
SEED_HELD = 1000


@dataclass(frozen=True)
class Recipe:
    """Sizes and lengths of the whole training."""

    notices: int = 6000
    browser_notices: int = 3000
    products: int = 7000
    qr_posters: int = 1600
    qr_photos: int = 1600
    preference_photos: int = 1200
    tag_rounds: int = 24
    trunk: TrunkSettings = field(default_factory=TrunkSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)


@dataclass(frozen=True)
class Sources:
    """All images: photos by split, and the rendered training sets."""

    photos: dict[str, list[Photo]]
    pixels: dict[str, PixelSet]
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
    pixels["notice"] = rendered_pixels(cache, "notice", SEED_NOTICE, recipe.notices, grounds)
    pixels["browser"] = browser_pixels(cache, SEED_BROWSER, recipe.browser_notices, grounds)
    pixels["product"] = rendered_pixels(cache, "product", SEED_PRODUCT, recipe.products, trained)
    pixels["qr_poster"] = rendered_pixels(cache, "qr_poster", SEED_POSTER, recipe.qr_posters, grounds)
    pixels["qr_photo"] = rendered_pixels(cache, "qr_photo", SEED_QR_PHOTO, recipe.qr_photos, grounds)
    names = sorted(
        {tag for photo in photos["clothing-train"] + photos["grocery-train"] for tag in photo.tags}
    )
    return Sources(photos, pixels, names)


def training_images(sources: Sources) -> TrainingImages:
    """What the trunk sees: photos, changed products, notices of two renderers, codes."""
    products = sources.products("train")
    column = {name: i for i, name in enumerate(sources.names)}
    own = np.array([column[p.tags[0]] if p.tags else NO_LABEL for p in products], dtype=np.int64)
    kinds = ("clothing-train", "grocery-train", "product", "notice", "browser", "qr_poster", "qr_photo")
    parts = [sources.pixels[kind] for kind in kinds]
    changed = len(parts[2])
    notices, codes = len(parts[3]) + len(parts[4]), len(parts[5]) + len(parts[6])
    types = np.repeat(np.array([0, 1, 2]), [len(products) + changed, notices, codes])
    # Changed product i was made from photo i modulo their number, and keeps its label.
    labels = np.concatenate([own, own[np.arange(changed) % len(own)], np.full(notices + codes, NO_LABEL)])
    return TrainingImages(join(parts), types.astype(np.int64), labels.astype(np.int64), len(column))


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
