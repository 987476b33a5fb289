"""The luminance that codes are looked for on: of every format, in the image's own shape."""

import numpy as np
import pytest
from PIL import Image

from tests import codes, images
from worker.model.decode import ImageLimits, decode
from worker.model.pixel_budget import PixelBudget
from worker.score.codes import CodeReader
from worker.settings import CodeSettings

LIMITS = ImageLimits()
READ = CodeReader(CodeSettings(enabled=True))


def luminance(data, side, room=None):
    found = decode(data, 96, 128, LIMITS, room, side).luminance
    assert found is not None
    assert found.dtype == np.uint8
    return found


@pytest.mark.parametrize(
    ("width", "height", "side", "shape"),
    [
        (640, 480, 320, (240, 320)),
        (480, 640, 320, (320, 240)),
        (200, 100, 640, (100, 200)),
        (3000, 9, 640, (2, 640)),
    ],
)
def test_it_has_the_images_shape_and_is_never_enlarged(width, height, side, shape):
    for data in (
        images.jpeg(7, width, height),
        images.encoded(images.photo(7, width, height), "PNG", compress_level=1),
    ):
        assert luminance(data, side).shape == shape


@pytest.mark.parametrize(
    "kind", sorted(set(images.GOOD) - {"alpha_png", "palette_png_with_transparency", "short_gif"})
)
def test_it_is_the_grey_image_of_every_format(kind):
    got = luminance(images.GOOD[kind](7), 160)
    if kind == "exif_rotated_jpeg":
        got = np.rot90(got, -1)
    grey = np.asarray(images.photo(7).convert("L").resize((160, 120), Image.Resampling.BOX), np.int16)
    assert np.abs(got - grey).mean() < 6


def test_of_a_large_jpeg_it_is_sharper_than_what_the_graphs_get():
    data = images.encoded(codes.poster("small modules " * 10, side=1600), quality=85)
    (code,) = READ(luminance(data, 640))
    assert code.payload == "small modules " * 10


def test_a_code_on_transparent_ground_is_read():
    code = codes.drawn("clear", module=8)
    clear = Image.new("RGBA", code.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0), Image.eval(code, lambda value: 255 - value))
    assert [found.payload for found in READ(luminance(images.encoded(clear, "PNG"), 640))] == ["clear"]


@pytest.mark.parametrize("kind", [*sorted(images.GOOD), "large_jpeg"])
def test_the_pixels_for_the_graphs_are_the_same_with_it_and_without(kind):
    data = images.jpeg(7, 1600, 1200) if kind == "large_jpeg" else images.GOOD[kind](7)
    plain, beside = decode(data, 96, 128, LIMITS), decode(data, 96, 128, LIMITS, None, 640)
    assert plain.luminance is None
    np.testing.assert_array_equal(plain.pixels, beside.pixels)


def test_all_its_full_size_pixels_are_held_within_the_room():
    taken = []

    class Watched(PixelBudget):
        def taken(self, size):
            taken.append(size)
            return super().taken(size)

    luminance(images.jpeg(7, 1600, 1200), 640, Watched(16 * 1600 * 1200))
    assert taken == [
        12 * 200 * 150,
        12 * 800 * 600,
    ]  # one after the other: nested, two images could wait for each other
