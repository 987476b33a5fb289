"""Embed: the bytes of one image to the vector that it is searched by."""

import numpy as np
from numpy.typing import NDArray

from worker.model.bundle import Bundle
from worker.model.decode import ImageLimits, decode
from worker.model.pixel_budget import PixelBudget


def embed(bundle: Bundle, limits: ImageLimits, budget: PixelBudget, data: bytes) -> NDArray[np.float32]:
    """The float32 vector [dim] of image bytes. Thread-safe; blocks while the `budget` is taken.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.
        StageError: the model failed.

    """
    size = bundle.manifest.input
    pixels = decode(data, size.height, size.width, limits, budget).pixels
    embeddings = bundle.model.infer(pixels[np.newaxis]).embeddings
    return np.asarray(embeddings[0])
