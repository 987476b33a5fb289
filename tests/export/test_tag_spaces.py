"""The published autoencoder, small, and the ways to get tags side by side."""

import numpy as np
import pytest

from export.data import Dataset, Example
from export.tags.autoencoder import CODE, SIDE, codes_of, nearest_is_alike, train_autoencoder
from export.tags.comparison import compare
from tests.export.test_tag_training import images


@pytest.fixture(scope="module")
def scenes():
    """Forty images of a light square on the left or on the right."""
    shown = np.full((40, SIDE, SIDE, 3), 40, np.uint8)
    for i, image in enumerate(shown):
        left = 10 + 60 * (i % 2)
        image[30 + i % 5 : 70 + i % 5, left : left + 30] = 220
    return shown


def test_an_autoencoder_learns_to_draw_and_its_code_is_a_space(scenes):
    network, losses = train_autoencoder(scenes, epochs=5, batch_size=8, learning_rate=4e-3, seed=0, width=8)
    assert losses[-1] < 0.7 * losses[0]
    codes = codes_of(network, scenes)
    assert codes.shape == (40, CODE) == (40, 196)
    dataset = Dataset(
        tuple(Example(None, str(i), "right" if i % 2 else "left", f"sender {i // 2}") for i in range(40))
    )
    for by in ("Euclid", "cosine"):
        assert nearest_is_alike(codes, dataset, by) > 0.9


def test_every_way_is_measured_on_the_same_tags():
    table = compare(images(400, 0), images(300, 1), tags=2, seed=0)
    assert table.pop("tags") == 2
    assert set(table) == {
        "linear probe", "50 trees of depth 6 over numbers", "50 trees of depth 6 over codes",
        "as published, over numbers", "as published, over codes", "this program's",
    }  # fmt: skip
    assert all(0.2 < value <= 1 for value in table.values())
