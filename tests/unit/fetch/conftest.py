"""The folder that paths are read from."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one image, and a secret beside it."""
    inside = tmp_path / "images"
    (inside / "shirts").mkdir(parents=True)
    (inside / "shirts" / "red.jpg").write_bytes(b"red shirt")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return inside
