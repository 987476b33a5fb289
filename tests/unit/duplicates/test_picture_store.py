"""What is put into the store comes out of it."""

import numpy as np

from worker.duplicates.local_features import MAX_FEATURES, SMALL_SIDE, Picture
from worker.duplicates.picture_store import PictureStore


def drawn(seed, points, mirrored, height, width):
    at = np.random.default_rng(seed)
    return Picture(
        at.random((points, 2), np.float32),
        at.integers(0, 256, (points, 32), np.uint8),
        at.random((mirrored, 2), np.float32),
        at.integers(0, 256, (mirrored, 32), np.uint8),
        at.integers(0, 256, (height, width), np.uint8),
    )


def test_pictures_of_every_size_come_back(tmp_path):
    kept = [
        drawn(0, MAX_FEATURES, MAX_FEATURES, SMALL_SIDE, SMALL_SIDE),
        drawn(1, 0, 3, 1, SMALL_SIDE),
        drawn(2, 7, 0, 90, 40),
    ]
    store = PictureStore(tmp_path, len(kept))
    for place, picture in enumerate(kept):
        store.put(place, picture)
    for place, picture in enumerate(kept):
        for name, value in vars(store.get(place)).items():
            np.testing.assert_array_equal(value, getattr(picture, name))


def test_a_store_of_nothing_can_be_made(tmp_path):
    PictureStore(tmp_path, 0)
    assert any(tmp_path.iterdir())
