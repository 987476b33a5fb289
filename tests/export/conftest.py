"""Small drawn images for the tests of training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

# Tiny networks: on a busy machine a second thread costs more in waiting than it computes.
torch.set_num_threads(1)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Write an image of random pixels, 16 px a side, at a path under the test's folder."""

    def write(name: str, seed: int = 0, side: int = 16) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write
