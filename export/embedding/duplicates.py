"""Near-duplicates: edited copies of a photo against different photos, to set the distance between them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

EDITS = ("jpeg", "small", "crop", "bright", "caption", "turn")


def edited_copy(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """The photo as a seller would post it again: saved anew, cropped, brighter, captioned, turned."""
    kind = EDITS[int(rng.integers(len(EDITS)))]
    if kind == "jpeg":
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=int(rng.integers(25, 60)))
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")
    if kind == "small":
        share = float(rng.uniform(0.4, 0.8))
        return photo.resize((max(32, int(photo.width * share)), max(32, int(photo.height * share))))
    if kind == "crop":
        cut_x, cut_y = int(photo.width * rng.uniform(0.01, 0.06)), int(photo.height * rng.uniform(0.01, 0.06))
        return photo.crop((cut_x, cut_y, photo.width - cut_x, photo.height - cut_y))
    if kind == "bright":
        return ImageEnhance.Color(
            ImageEnhance.Brightness(photo).enhance(float(rng.uniform(0.85, 1.15)))
        ).enhance(1.15)
    if kind == "caption":
        copy = photo.copy()
        ImageDraw.Draw(copy).rectangle(
            (0, int(photo.height * 0.93), photo.width, photo.height), fill=(250, 250, 250)
        )
        return copy
    return photo.rotate(float(rng.uniform(-3, 3)), Image.Resampling.BILINEAR, fillcolor=(200, 200, 200))


def nearest_other(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distance of each row to its nearest other row."""
    similar = embedding @ embedding.T
    np.fill_diagonal(similar, -1.0)
    distances: NDArray[np.float32] = 1.0 - similar.max(axis=1)
    return distances


def distance_between(copies: NDArray[np.float32], others: NDArray[np.float32], false_share: float) -> float:
    """The cosine distance up to which at most `false_share` of different images would be taken for copies.

    Args:
        copies: distances of edited copies to their photos [n].
        others: distances of different photos to their nearest neighbour [m].
        false_share: how many of `others` may lie under the distance.

    """
    limit = float(np.quantile(others, false_share))
    # No need to go beyond what nearly every copy stays under.
    return round(max(0.005, min(limit, float(np.quantile(copies, 0.99)))), 4)
