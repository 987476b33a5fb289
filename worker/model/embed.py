"""Embed: the bytes of one image to the vector that it is searched by."""

import numpy as np
from numpy.typing import NDArray

from worker.model.bundle import Bundle
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.infer import ImageBatch
from worker.model.pixel_budget import PixelBudget


def embed(bundle: Bundle, limits: ImageLimits, budget: PixelBudget, data: bytes) -> NDArray[np.float32]:
    """The float32 vector [dim] of image bytes. Thread-safe; blocks while the `budget` is taken.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.
        StageError: the model failed.

    """
    decoded = decode_inputs(data, bundle.manifest.image_inputs(), limits, budget)
    batch = ImageBatch(
        [pixels[np.newaxis] for pixels in decoded.sizes],
        {name: np.array([value], np.float32) for name, value in decoded.measured.items()},
    )
    embeddings = bundle.model.infer(batch).embeddings
    assert embeddings is not None  # the index role asked for a bundle that has some
    return np.asarray(embeddings[0])
