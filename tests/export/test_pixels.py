from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.data import Columns, Dataset, parse_source, read_source
from export.errors import DatasetError
from export.pixels import decode_dataset
from schemas.bundle import ImageInput
from worker.model.decode import ImageLimits, decode

Draw = Callable[..., Path]


def images(tmp_path: Path, draw: Draw, count: int, broken: int) -> Dataset:
    for number in range(count):
        draw(f"set/{number:02d}.png", seed=number)
    for number in range(broken):
        (tmp_path / f"set/broken{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing")
    return read_source(parse_source(str(tmp_path / "set")), Columns())


def test_pixels_are_those_of_the_worker_and_broken_images_are_counted(tmp_path: Path, draw: Draw) -> None:
    dataset = images(tmp_path, draw, 20, 1)
    decoded = decode_dataset(dataset, ImageInput(height=16, width=24), storage=tmp_path / "x.npy")
    assert decoded.images.shape == (20, 16, 24, 3)
    assert decoded.dataset.skips() == {"broken image": 1}
    for row, example in enumerate(decoded.dataset.examples):
        expected = decode(example.path.read_bytes(), 16, 24, ImageLimits()).pixels
        np.testing.assert_array_equal(decoded.images[row], expected)


def test_large_sets_go_to_a_file(tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = images(tmp_path, draw, 5, 0)
    in_memory = decode_dataset(dataset, ImageInput(height=16, width=16), storage=tmp_path / "x.npy")
    monkeypatch.setattr("export.pixels._IN_MEMORY_BYTES", 10)
    mapped = decode_dataset(dataset, ImageInput(height=16, width=16), storage=tmp_path / "pixels/x.npy")
    assert (tmp_path / "pixels/x.npy").stat().st_size > mapped.images.nbytes
    np.testing.assert_array_equal(mapped.images, in_memory.images)


def test_too_many_broken_images_are_an_error(tmp_path: Path, draw: Draw) -> None:
    dataset = images(tmp_path, draw, 5, 2)
    with pytest.raises(
        DatasetError, match=r"2 of 7 images do not decode, over the limit of 10%.*broken0.jpg"
    ):
        decode_dataset(dataset, ImageInput(height=16, width=16), storage=tmp_path / "x.npy")
