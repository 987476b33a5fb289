"""Embed: the bytes of one image to the vector that it is searched by."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worker.model.bundle import Bundle
from worker.model.decode import DecodedImage, ImageLimits
from worker.model.infer import ImageBatch


def embed(
    bundle: Bundle, limits: ImageLimits, decode: Callable[..., DecodedImage], data: bytes
) -> NDArray[np.float32]:
    """The float32 vector [dim] of image bytes. Thread-safe, as `decode` is.

    `decode` is `worker.model.decode.decode_inputs`, or what takes its place in other processes.

    Raises:
        Rejection: not an image of a known format, damaged, or beyond `limits`.
        StageError: the model failed.

    """
    manifest = bundle.manifest
    decoded = decode(data, manifest.image_inputs(), limits, measures=manifest.detail_measures())
    batch = ImageBatch(
        [pixels[np.newaxis] for pixels in decoded.sizes],
        {name: np.array([value], np.float32) for name, value in decoded.measured.items()},
    )
    embeddings = bundle.model.infer(batch).embeddings
    assert embeddings is not None  # the index role asked for a bundle that has some
    return np.asarray(embeddings[0])
