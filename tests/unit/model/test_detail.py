"""Numbers of the full-size luminance: they tell a degraded copy where the models' sizes are alike."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from schemas.bundle import DETAIL_MEASURES, ImageInput
from tests import odd_images
from worker.model.decode import ImageLimits, decode, decode_inputs
from worker.model.detail import DETAIL, SIDE, detail, middle, reduction

# Enlarged: as drawn it has steps of its own where blocks end.
PHOTO = odd_images.photo(640, 480).resize((700, 525), Image.Resampling.BICUBIC)


def measured(image, form="PNG", **options):
    packed = io.BytesIO()
    image.save(packed, form, **options)
    size = ImageInput(height=64, width=64)
    found = decode_inputs(packed.getvalue(), [size], ImageLimits(), measures=DETAIL)
    plain = decode(packed.getvalue(), 64, 64, ImageLimits())
    assert (found.pixels == plain.pixels).all()
    assert DETAIL_MEASURES.isdisjoint(plain.measured)
    return {name: found.measured[name] for name in DETAIL}


def test_a_blurred_copy_is_less_sharp():
    assert measured(PHOTO.filter(ImageFilter.GaussianBlur(1)))["sharpness"] < measured(PHOTO)["sharpness"] / 2


@pytest.mark.parametrize("sigma", [2, 4, 8])
def test_noise_is_given_in_grey_levels(sigma):
    flat = np.full((400, 400), 128.0) + np.random.default_rng(sigma).normal(0, sigma, (400, 400))
    found = measured(Image.fromarray(flat.round().clip(0, 255).astype(np.uint8)))
    assert found["noise"] == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_blocks_show_also_where_a_compressed_picture_was_saved_again(form):
    packed = io.BytesIO()
    PHOTO.save(packed, "JPEG", quality=10)
    blocked = Image.open(packed)
    options = {"quality": 95} if form == "JPEG" else {}
    assert (
        measured(blocked, form, **options)["blockiness"]
        > 1.2 * measured(PHOTO, form, **options)["blockiness"]
    )


@pytest.mark.parametrize("size", [(1, 900), (2, 2), (7, 9), (9, 700)])
def test_what_is_too_small_to_tell_gives_numbers(size):
    found = detail(np.zeros(size, np.uint8))
    assert found == {"sharpness": 0.0, "noise": 0.0, "blockiness": 1.0}


@pytest.mark.parametrize(
    ("size", "by"), [((1200, 1600), 1), ((1600, 1300), 2), ((4000, 3000), 4), ((9000, 5000), 8)]
)
def test_a_large_image_is_made_smaller_first(size, by):
    assert reduction(size) == by


@pytest.mark.parametrize("by", [1, 2, 4])
def test_the_middle_begins_at_a_block(by):
    left, top, right, bottom = middle((5001, 3003), by)
    assert left % 8 == top % 8 == 0
    assert (right - left) // by == (bottom - top) // by == SIDE


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_formats_agree_on_a_large_image(form):
    large = PHOTO.resize((2000, 1500), Image.Resampling.BICUBIC)
    found = measured(large, form, **({} if form == "PNG" else {"quality": 95}))
    assert found["sharpness"] == pytest.approx(measured(large)["sharpness"], rel=0.15)


def test_transparency_lies_over_white():
    clear = PHOTO.convert("RGBA")
    clear.putalpha(0)
    assert measured(clear) == {"sharpness": 0.0, "noise": 0.0, "blockiness": 1.0}
