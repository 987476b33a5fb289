"""HEIC, TIFF and JPEG XL: taken where the settings name them, judged before they are decoded."""

import importlib.util
import io
import re
import struct

import numpy as np
import pytest
from PIL import Image

from schemas.rejection import RejectionReason
from tests import odd_images
from worker.errors import ConfigurationError, Rejection
from worker.model import optional_formats
from worker.model.decode import ImageLimits, decode
from worker.model.optional_formats import load_format, optional_format, pillow_name, require

TAKEN = ImageLimits(formats=("heic", "tiff", "jxl"))
NAMES = ("heic", "tiff", "jxl")


def packed(name, image=None, **options):
    load_format(name)
    file = io.BytesIO()
    (image or odd_images.photo()).save(file, pillow_name(name), **options)
    return file.getvalue()


def apart(found, image):
    """Mean grey levels from the picture that is meant."""
    small = image.resize((64, 64), Image.Resampling.BILINEAR)
    return np.abs(found.pixels.astype(int) - np.asarray(small)).mean()


def rejected(data, limits=TAKEN):
    with pytest.raises(Rejection) as caught:
        decode(data, 32, 32, limits)
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_its_picture_is_that_of_the_same_png(name):
    data = packed(name)
    assert optional_format(data) == name
    found = decode(data, 64, 64, TAKEN)
    assert found.format == pillow_name(name)
    assert (found.original_width, found.original_height) == (320, 240)
    assert apart(found, odd_images.photo()) < 3


@pytest.mark.parametrize("name", NAMES)
def test_it_is_refused_by_its_name_where_it_is_not_taken(name):
    rejection = rejected(packed(name), ImageLimits())
    assert rejection.reason is RejectionReason.IMAGE_NOT_AN_IMAGE
    assert "decode.formats" in rejection.detail


@pytest.mark.parametrize("name", NAMES)
def test_too_many_pixels_are_refused(name):
    few = ImageLimits(max_pixels=320 * 240 - 1, formats=NAMES)
    rejection = rejected(packed(name), few)
    assert rejection.reason is RejectionReason.IMAGE_TOO_MANY_PIXELS
    assert "320 x 240" in rejection.detail


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_is_told(name, share):
    data = packed(name, **({"compression": "tiff_lzw"} if name == "tiff" else {}))
    assert rejected(data[: int(len(data) * share)]).reason in {
        RejectionReason.IMAGE_CORRUPT, RejectionReason.IMAGE_NOT_AN_IMAGE,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_transparency_lies_over_white(name):
    clear = odd_images.photo().convert("RGBA")
    clear.putalpha(0)
    assert decode(packed(name, clear), 32, 32, TAKEN).pixels.min() > 250


def test_a_tiff_is_turned_once():
    exif = Image.Exif()
    exif[0x112] = 6
    found = decode(packed("tiff", exif=exif), 64, 64, TAKEN)
    turned = (
        odd_images.photo().transpose(Image.Transpose.ROTATE_270).resize((64, 64), Image.Resampling.BILINEAR)
    )
    assert np.abs(found.pixels.astype(int) - np.asarray(turned)).mean() < 3


def test_exif_does_not_turn_a_heic():
    """Its container says how it is held; what EXIF says beside it is not shown."""
    exif = Image.Exif()
    exif[0x112] = 6
    found = decode(packed("heic", exif=exif), 64, 64, TAKEN)
    shown = (odd_images.photo(), odd_images.photo().transpose(Image.Transpose.ROTATE_270))
    assert min(apart(found, image) for image in shown) < 3


@pytest.mark.parametrize("box", [b"ispe"])
def test_a_heic_that_says_a_size_of_its_own_elsewhere_is_judged_by_the_largest(box):
    data = packed("heic")
    extra = struct.pack(">I4sIII", 20, box, 0, 12_000, 12_000)
    assert rejected(data + extra).reason is RejectionReason.IMAGE_TOO_MANY_PIXELS


@pytest.mark.parametrize("size", [(64, 64), (640, 480), (1000, 777), (1, 4000), (1280, 720)])
@pytest.mark.parametrize("form", ["RGB", "L"])
def test_the_size_of_a_jpeg_xl_is_read_before_it_is_decoded(size, form):
    data = packed("jxl", Image.new(form, size))
    assert optional_formats._jxl_size(data) == size


def test_what_another_box_of_a_jpeg_xl_holds_is_no_codestream():
    data = packed("jxl")
    assert optional_formats._jxl_size(data) == (320, 240)
    small = b"jxlc" + b"\xff\x0a" + bytes(16)  # would be 8 x 8
    box = struct.pack(">I4s", 8 + len(small), b"Exif") + small
    container = b"\0\0\0\x0cJXL \r\n\x87\n"
    stream = data if data.startswith(b"\xff\x0a") else data[data.index(b"\xff\x0a") :]
    hidden = container + box + struct.pack(">I4s", 0, b"jxlc") + stream
    assert optional_formats._jxl_size(hidden) == (320, 240)


def test_a_missing_decoder_is_told_when_the_worker_starts(monkeypatch):
    require(["tiff"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=re.escape("mekiki[formats]")):
        require(["tiff", "heic"])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(40), "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(40), None),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1heicmiaf" + bytes(40), None),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + bytes(40), "heic"),
        (b"MM\0*" + bytes(40), "tiff"),
        (b"\xff\x0a" + bytes(40), "jxl"),
        (b"", None),
    ],
)
def test_what_a_file_begins_as(data, name):
    assert optional_format(data) == name
