"""Differences and directions of the luminance: by hand on a few pixels, and what leaves them as they are."""

import io

import numpy as np
import pytest
from PIL import Image

from schemas.bundle import DETAIL_MEASURES, ImageInput
from tests import odd_images
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.direction import DIFFERENCES, DIRECTIONS, differences, directions

PHOTO = odd_images.photo(320, 240)
ASKED = DIFFERENCES | DIRECTIONS


def measured(image, form="PNG", measures=ASKED, **options):
    packed = io.BytesIO()
    image.save(packed, form, **options)
    size = ImageInput(height=64, width=64)
    found = decode_inputs(packed.getvalue(), [size], ImageLimits(min_side=1), measures=measures).measured
    return {name: found[name] for name in found if name in DETAIL_MEASURES}


def test_differences_are_those_computed_by_hand():
    found = differences(np.array([[1, 2, 4], [1, 3, 9]], np.uint8))
    across, down = [1, 2, 2, 6], [0, 1, 5]
    assert found["axis_difference_1"] == pytest.approx(np.sqrt(np.mean(np.square(across + down))))
    assert found["axis_difference_2"] == pytest.approx(np.sqrt((1 + 16) / 2))
    assert found["diagonal_difference_1"] == pytest.approx(np.sqrt((2**2 + 7**2 + 1 + 1) / 4))
    assert found["mixed_difference"] == pytest.approx(np.sqrt((1 + 16) / 2))
    assert found["axis_difference_3"] == found["axis_difference_4"] == found["diagonal_difference_2"] == 0
    row = differences(np.array([[0, 0, 1, 0, 0]], np.uint8))
    assert row["axis_difference_4"] == 6  # of 1, 4, 6, 4, 1
    assert row["axis_difference_3"] == 3
    grid = differences(np.array([[0, 0, 0], [0, 9, 0], [0, 0, 0]], np.uint8))
    assert grid["diagonal_difference_2"] == 18


@pytest.mark.parametrize(("degrees", "multiple"), [(0, 1), (3, 1), (-3, 1), (15, 1), (94, 1)])
def test_directions_of_a_slope_are_those_of_its_angle(degrees, multiple):
    angle = np.radians(degrees)
    down, right = np.mgrid[:48, :64].astype(float)
    slope = 128 + 3 * (np.cos(angle) * (right - 32) + np.sin(angle) * (down - 24))
    found = directions(slope.round().clip(0, 255).astype(np.uint8))
    assert found[f"direction_cosine_{multiple}"] == pytest.approx(np.cos(4 * multiple * angle), abs=0.1)
    assert found[f"direction_sine_{multiple}"] == pytest.approx(abs(np.sin(4 * multiple * angle)), abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 900), (9, 3), (64, 64)])
def test_without_neighbours_or_edges_all_is_nothing(shape):
    grey = np.full(shape, 200, np.uint8)
    found = {**differences(grey), **directions(grey)}
    assert set(found) == ASKED
    assert not any(found.values())


def test_a_quarter_turn_and_a_mirror_change_nothing():
    found = measured(PHOTO)
    for turn in (Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.TRANSPOSE):
        assert measured(PHOTO.transpose(turn)) == pytest.approx(found, abs=0.02)


def test_a_photo_turned_by_exif_has_the_numbers_of_the_photo():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert measured(PHOTO, "JPEG", exif=exif.tobytes()) == measured(PHOTO, "JPEG")


def test_transparency_lies_over_white_and_one_pixel_is_an_image():
    clear = PHOTO.convert("RGBA")
    clear.putalpha(0)
    assert not any(measured(clear).values())
    assert not any(measured(Image.new("L", (1, 1))).values())
    grey = PHOTO.convert("L")
    assert measured(grey) == measured(grey.convert("RGB")) == measured(grey)


def test_what_nobody_asks_for_is_not_measured():
    assert measured(PHOTO, measures=frozenset()) == {}
    assert set(measured(PHOTO, measures=frozenset({"noise", "direction_sine_2"}))) == {
        "noise", "direction_sine_2",
    }  # fmt: skip


def test_a_turned_photo_leans_and_has_fewer_fine_differences():
    board = Image.fromarray(
        np.kron(np.indices((8, 8)).sum(axis=0) % 2 * 200, np.ones((32, 32))).astype(np.uint8)
    )
    upright, leaning = (
        measured(board),
        measured(board.rotate(6, Image.Resampling.BICUBIC).crop((30, 30, 226, 226))),
    )
    assert leaning["direction_sine_2"] > upright["direction_sine_2"] + 0.5
    assert leaning["axis_difference_4"] < upright["axis_difference_4"]
