"""Colours and patterns that pixels show."""

import numpy as np
import pytest

from export.tags.appearance import appearance_tags, colours_of, pattern_of

COLOURS = {
    "black": (10, 10, 12), "white": (245, 245, 240), "grey": (128, 126, 128), "red": (200, 20, 30),
    "orange": (240, 130, 20), "yellow": (240, 220, 40), "green": (30, 150, 60), "blue": (30, 60, 190),
    "purple": (130, 40, 190), "pink": (240, 90, 180), "brown": (110, 70, 35), "beige": (230, 205, 165),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS)
def test_a_plain_colour_is_named_whatever_the_size(name):
    image = np.full((90, 128, 3), COLOURS[name], np.uint8)
    assert appearance_tags(image[np.newaxis]) == [(f"colour-{name}", "pattern-plain")]


def test_two_colours_that_share_the_middle_are_both_named_and_the_rim_is_not():
    image = np.full((128, 128, 3), COLOURS["green"], np.uint8)
    image[32:96, 32:64], image[32:96, 64:96] = COLOURS["red"], COLOURS["white"]
    assert set(colours_of(image)) == {"colour-red", "colour-white"}


@pytest.mark.parametrize("turned", [False, True])
def test_stripes_and_noise(turned):
    rows = (np.arange(128) // 4 % 2 * 160 + 40).astype(np.uint8)
    stripes = np.broadcast_to(rows[:, np.newaxis, np.newaxis], (128, 128, 3))
    assert pattern_of(stripes.swapaxes(0, 1) if turned else stripes) == "pattern-striped"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    assert pattern_of(noise.repeat(4, 0).repeat(4, 1).repeat(3, 2)) == "pattern-busy"
