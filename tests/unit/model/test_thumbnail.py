"""Thumbnails: the image whole, in its aspect ratio, and nothing else of the file."""

import io

import pytest
from PIL import Image

from tests import images
from worker.errors import Rejection
from worker.model.still import ImageLimits
from worker.model.thumbnail import thumbnail


@pytest.mark.parametrize(
    ("size", "expected"), [((600, 300), (256, 128)), ((100, 400), (64, 256)), ((9, 900), (3, 256))]
)
def test_the_whole_image_in_its_aspect_ratio(size, expected):
    small = Image.open(io.BytesIO(thumbnail(images.encoded(images.photo(1, *size)), ImageLimits())))
    assert (small.format, small.size) == ("JPEG", expected)


def test_nothing_of_the_file_is_in_it():
    picture, packed = images.photo(1, 64, 64), io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "<script>"
    picture.save(packed, "JPEG", exif=exif, comment=b"<script>")
    assert b"<script>" in packed.getvalue()
    assert b"<script>" not in thumbnail(packed.getvalue(), ImageLimits())


def test_what_is_no_image_is_refused():
    with pytest.raises(Rejection):
        thumbnail(b"<svg onload=alert(1)>", ImageLimits())
