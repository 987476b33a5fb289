"""Near-copies of a photo differ from it, and show the same."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import photo
from worker.demo.edits import EDITS, edited_copies


def shrunk(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((32, 24)), np.int16)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    photo(3, 200, 150).save(path)
    return path


def test_there_is_a_jpeg_of_every_edit_that_shows_nearly_the_same(original: Path, tmp_path: Path) -> None:
    before = original.read_bytes()
    files = edited_copies(original, tmp_path, "copy")
    assert list(files) == list(EDITS)
    assert len({file.read_bytes() for file in files.values()}) == len(EDITS)
    for edit, file in files.items():
        with Image.open(file) as copy, Image.open(original) as photo_:
            assert copy.format == "JPEG"
            shown = photo_.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if edit == "mirrored" else photo_
            assert 0.5 < abs(shrunk(copy) - shrunk(shown)).mean() < 40
    assert original.read_bytes() == before


def test_large_photos_are_shrunk_first(tmp_path: Path) -> None:
    photo(3, 700, 400).save(tmp_path / "large.png")
    for edit, file in edited_copies(tmp_path / "large.png", tmp_path, "copy").items():
        with Image.open(file) as copy:
            assert max(copy.size) <= 640 * (1.2 if edit == "white border" else 1)


def test_what_is_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    with pytest.raises(OSError, match="cannot identify"):
        edited_copies(tmp_path / "page.jpg", tmp_path, "copy")
