"""Copies of drawn photos are found however they were edited, and other photos are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from tests import images
from worker.duplicates import local_features
from worker.duplicates.local_features import MAX_FEATURES, LocalFeatures
from worker.errors import ConfigurationError


@pytest.fixture(scope="module")
def features():
    return LocalFeatures()


def scene(seed):
    """A drawn photo with enough corners: things on a ground with a print."""
    image = images.photo(seed)
    pen, at = ImageDraw.Draw(image), np.random.default_rng(seed)
    for _ in range(40):
        x, y = int(at.integers(0, 300)), int(at.integers(0, 220))
        pen.rectangle((x, y, x + 12, y + 9), fill=tuple(int(v) for v in at.integers(0, 256, 3)))
    return image


def picture(features, image):
    return features.describe(np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    ("edit", "mirrored"),
    [
        (lambda photo: photo.resize((110, 82)), False),
        (lambda photo: photo.crop((30, 20, 310, 235)), False),
        (lambda photo: ImageOps.expand(photo, 20, "white"), False),
        (lambda photo: photo.rotate(90, expand=True), False),
        (ImageOps.mirror, True),
    ],
)
def test_an_edited_copy_is_one(features, edit, mirrored):
    found = features.align(picture(features, edit(scene(1))), picture(features, scene(1)))
    assert found.is_copy
    assert found.mirrored == mirrored


def test_another_photo_is_none(features):
    found = features.align(picture(features, scene(1)), picture(features, scene(2)))
    assert not found.is_copy


def test_one_product_before_another_ground_is_no_copy(features):
    """What is drawn on it lies alike; what is around it does not agree."""
    one, other = scene(1), scene(2)
    label = scene(3).crop((60, 40, 200, 150))
    for photo in (one, other):
        photo.paste(label, (90, 60))
    found = features.align(picture(features, one), picture(features, other))
    assert found.inliers >= local_features.LEAST_INLIERS
    assert not found.is_copy


@pytest.mark.parametrize("size", [(8, 8), (1, 3000), (3000, 1), (400, 300)])
def test_an_image_that_shows_nothing_is_a_copy_of_nothing(features, size):
    blank = picture(features, Image.new("L", size, 200))
    assert len(blank.points) == 0
    assert not features.align(blank, blank).is_copy
    assert not features.align(blank, picture(features, scene(1))).is_copy


def test_features_are_bounded_whatever_an_image_shows(features):
    noise = np.random.default_rng(0).integers(0, 256, (700, 900), np.uint8)
    found = features.describe(noise)
    assert 0 < len(found.points) <= MAX_FEATURES
    assert max(found.small.shape) == local_features.SMALL_SIDE


def test_a_missing_library_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ConfigurationError, match=r"mekiki\[duplicates\]"):
        LocalFeatures()
