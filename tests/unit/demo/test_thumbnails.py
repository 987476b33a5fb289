"""Small pictures for the report, of whatever a listing may bring."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from tests import images
from worker.demo.thumbnails import data_uri, thumbnails


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_picture_is_shrunk_with_its_aspect(tmp_path: Path) -> None:
    images.photo(1, 800, 400).save(tmp_path / "wide.png")
    assert opened(data_uri(tmp_path / "wide.png")).size == (176, 88)


def test_a_turned_picture_is_upright(tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(images.exif_rotated_jpeg(1, 6))
    with Image.open(tmp_path / "turned.jpg") as stored:
        turned = stored.size
    shown = opened(data_uri(tmp_path / "turned.jpg")).size
    assert (shown[0] > shown[1]) != (turned[0] > turned[1])


def test_what_is_no_image_has_none_and_holds_up_nothing(tmp_path: Path) -> None:
    good, bad, half = (tmp_path / name for name in ("good.jpg", "bad.jpg", "half.jpg"))
    good.write_bytes(images.jpeg(1))
    bad.write_bytes(b"no image")
    half.write_bytes(images.jpeg(1)[:2000])
    found = thumbnails({"a": bad, "b": good, "c": half, "d": tmp_path / "missing.jpg"})
    assert set(found) == {"b"}
    with pytest.raises(OSError, match="cannot identify"):
        data_uri(bad)
