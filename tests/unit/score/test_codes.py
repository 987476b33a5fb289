"""Reading codes: what they say and how much of the image they cover, whatever is in the image."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from tests import codes, images
from worker.errors import ConfigurationError, StageError
from worker.score.codes import CodeReader, quadrilateral_area, visible
from worker.settings import CodeFormat, CodeSettings

URL = "https://example.com/line?id=42"


def read(image, **settings):
    reader = CodeReader(CodeSettings(enabled=True, **settings))
    return reader(np.asarray(image.convert("L")))


def symbol_share(code, image):
    """The share of `image` that the dark box of a drawn, unturned `code` takes."""
    left, top, right, bottom = Image.eval(code, lambda value: 255 - value).getbbox()
    return (right - left) * (bottom - top) / (image.width * image.height)


def test_a_poster_is_nearly_all_code():
    poster = codes.poster(URL)
    (code,) = read(poster)
    assert (code.format, code.payload) == ("QRCode", URL)
    assert code.area_share == pytest.approx(symbol_share(poster.convert("L"), poster), rel=0.02)
    assert code.area_share > 0.5


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 180, 231])
def test_a_small_code_in_a_scene_is_read_at_any_angle_with_its_share_of_the_area(angle):
    code = codes.drawn(URL, module=3)
    image = codes.scene((code, (260, 150), angle))
    (found,) = read(image)
    assert found.payload == URL
    assert found.area_share == pytest.approx(symbol_share(code, image), rel=0.1)
    assert found.area_share < 0.05


def test_several_codes_come_the_largest_first():
    large, small = codes.drawn("large", module=8), codes.drawn("small", module=3)
    micro = codes.drawn("12345", "MicroQRCode", module=5)
    wide = codes.drawn("WIDE 1", "RMQRCode", module=4)
    image = codes.scene(
        (small, (20, 20), 0), (large, (300, 150), 10), (micro, (30, 250), 0), (wide, (20, 380), 0)
    )
    found = read(image)
    assert {(code.format, code.payload) for code in found} == {
        ("QRCode", "large"),
        ("QRCode", "small"),
        ("MicroQRCode", "12345"),
        ("RMQRCode", "WIDE 1"),
    }
    assert found[0].payload == "large"
    shares = [code.area_share for code in found]
    assert shares == sorted(shares, reverse=True)


def test_of_a_sheet_of_codes_sixteen_are_told():
    code = codes.drawn("x", module=2)
    sheet = Image.new("L", (code.width * 8, code.height * 8))
    for place in range(64):
        sheet.paste(code, (place % 8 * code.width, place // 8 * code.height))
    assert len(read(sheet)) == 16


@pytest.mark.parametrize("seed", range(4))
def test_a_product_has_no_code(seed):
    assert read(images.photo(seed, 640, 480)) == []


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1), np.uint8),
        np.full((1, 700), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (640, 640), dtype=np.uint8),
    ],
    ids=["pixel", "line", "noise"],
)
def test_odd_images_have_no_code(pixels):
    assert CodeReader(CodeSettings())(pixels) == []


def test_a_light_code_on_dark_ground_is_read():
    inverted = Image.eval(codes.poster(URL).convert("L"), lambda value: 255 - value)
    assert [code.payload for code in read(inverted)] == [URL]


def test_a_binary_payload_is_none():
    (code,) = read(codes.poster(b"\x00\xff\xfe\x80\x01"))
    assert code.payload is None
    assert code.area_share > 0.4


def test_japanese_text_is_read():
    (code,) = read(codes.poster("友だち追加 はこちら"))
    assert code.payload == "友だち追加 はこちら"


def test_a_payload_is_cut_at_the_limit():
    image = codes.poster("目" * 300, side=640)
    assert [code.payload for code in read(image, payload_limit=100)] == ["目" * 100]
    assert [code.payload for code in read(image, payload_limit=0)] == [""]


def test_control_characters_of_a_payload_are_made_visible():
    (code,) = read(codes.poster("a\x1b[31m\x00b\r\n\u202ec\x7f"))
    assert code.payload == "a␛[31m␀b␍␊\ufffdc␡"


def test_every_character_of_a_visible_text_can_be_seen():
    text = visible("".join(map(chr, range(0x3000))), 0x3000)
    assert len(text) == 0x3000
    assert text.isprintable() or all(character.isprintable() or character.isspace() for character in text)
    assert not any(character in text for character in "\n\r\t\x1b\x00\x7f\x85\u2028\u202e\u200b\u2066")


def test_other_formats_are_read_where_they_are_asked_for():
    image = codes.scene((codes.drawn("4006381333931", "EAN13", module=3), (150, 150), 0))
    assert read(image) == []
    (code,) = read(image, formats=["EAN13"])
    assert (code.format, code.payload) == ("EAN13", "4006381333931")


def test_every_format_of_the_settings_is_one_of_the_librarys():
    for name in get_args(CodeFormat):
        assert getattr(zxingcpp.BarcodeFormat, name).name == name


def test_the_area_of_a_quadrilateral():
    assert quadrilateral_area([(0, 0), (4, 0), (4, 3), (0, 3)]) == 12
    assert quadrilateral_area([(0, 0), (0, 3), (4, 3), (4, 0)]) == 12
    assert quadrilateral_area([(1, 0), (2, 1), (1, 2), (0, 1)]) == 2


def test_a_failure_of_the_library_is_ours():
    reader = CodeReader(CodeSettings())
    with pytest.raises(StageError, match="reading codes in 0 x 0 pixels failed"):
        reader(np.zeros((0, 0), np.uint8))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(ConfigurationError, match=r"install mekiki\[codes\]"):
        CodeReader(CodeSettings(enabled=True))


def test_the_worst_image_known_is_searched_in_bounded_time():
    """Finder patterns edge to edge, one pixel a module: 0.07 s, where a search without bounds would hang."""
    rings = np.abs(np.indices((9, 9)) - 4).max(axis=0)
    finder = np.where((rings == 2) | (rings == 4), 255, 0).astype(np.uint8)
    pixels = np.tile(finder, (72, 72))[:640, :640]
    began = time.process_time()
    assert CodeReader(CodeSettings())(pixels) == []
    assert time.process_time() - began < 2


def test_one_reader_serves_many_threads():
    reader = CodeReader(CodeSettings())
    pixels = [np.asarray(codes.poster(f"number {number}").convert("L")) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reader, pixels * 4))
    assert [[code.payload for code in each] for each in found] == [
        [f"number {number}"] for number in range(8)
    ] * 4
