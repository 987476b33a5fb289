"""An image's vector is the one that scoring gives it, and bad bytes are told as scoring tells them."""

import numpy as np
import pytest

from schemas.rejection import RejectionReason
from tests import images
from worker.errors import Rejection
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode, decode_inputs
from worker.model.embed import embed
from worker.model.infer import ImageBatch
from worker.settings import ModelSettings

LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(ModelSettings(threads=1))


def test_the_vector_is_that_of_the_decoded_pixels(bundle):
    data, (size,) = images.jpeg(7), bundle.manifest.image_inputs()
    vector = embed(bundle, LIMITS, decode_inputs, data)
    assert vector.shape == (bundle.manifest.embedding.dim,)
    assert vector.dtype == np.float32
    pixels = decode(data, size.height, size.width, LIMITS).pixels
    inferred = bundle.model.infer(ImageBatch([pixels[np.newaxis]], {}))
    np.testing.assert_array_equal(vector, inferred.embeddings[0])


def test_bad_bytes_are_rejected_with_their_reason(bundle):
    with pytest.raises(Rejection) as caught:
        embed(bundle, LIMITS, decode_inputs, b"no image")
    assert caught.value.reason is RejectionReason.IMAGE_NOT_AN_IMAGE
