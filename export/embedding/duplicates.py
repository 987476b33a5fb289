"""Near-duplicates: edited copies of a photo against different photos, to set the distance between them."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.embedding.edits import EDITS
from export.parts import PartFolder, run_part
from schemas.bundle import ImageInput
from worker.model.decode import ImageLimits, decode_inputs

_QUALITY = 92


def posted_pixels(picture: Image.Image, image: ImageInput) -> NDArray[np.uint8]:
    """A picture as the worker sees it for `image` where somebody posts it as a JPEG."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return decode_inputs(out.getvalue(), [image], ImageLimits()).pixels


def copy_distances(part: PartFolder, photos: Sequence[Path], own: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distance of an edited copy of each photo to it, each with the next of EDITS: float32 [n].

    Args:
        part: of a head of vectors.
        photos: files.
        own: their vectors, float32 [n, d].

    """
    (image,) = part.part.manifest().image_inputs()
    copies = []
    for photo, edit in zip(photos, cycle(EDITS.values()), strict=False):
        with Image.open(photo) as opened:
            copies.append(posted_pixels(edit(opened.convert("RGB")), image))
    distances: NDArray[np.float32] = 1 - (run_part(part, [np.stack(copies)]) * own).sum(axis=1)
    return distances


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
