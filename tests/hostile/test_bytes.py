"""Bytes that would cost more than their share are refused before a decoder has them."""

import struct
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from schemas.rejection import RejectionReason
from tests import odd_images
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode
from worker.model.jpeg import MAX_SCANS, MAX_SEGMENTS, read_jpeg
from worker.model.pixel_budget import PixelBudget
from worker.model.png import MAX_OTHER_CHUNKS

LIMITS = ImageLimits()


def refused(data: bytes, reason: RejectionReason, limits: ImageLimits = LIMITS, seconds: float = 1) -> str:
    begin = time.process_time()
    with pytest.raises(Rejection) as caught:
        decode(data, 128, 128, limits)
    assert caught.value.reason is reason, caught.value.detail
    assert time.process_time() - begin < seconds
    return caught.value.detail


def decoded(data: bytes, limits: ImageLimits = LIMITS, seconds: float = 1) -> np.ndarray:
    begin = time.process_time()
    pixels = decode(data, 128, 128, limits).pixels
    assert time.process_time() - begin < seconds
    return pixels


def avif_that_says(width: int, height: int, data: bytes) -> bytes:
    """`data` with another size in the container; its stream stays."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1000, 16), (640, 481)])
@pytest.mark.parametrize("kind", ["still", "alpha", "animated", "grey"])
def test_an_avif_is_judged_by_its_stream_too(width: int, height: int, kind: str) -> None:
    picture = odd_images.photo(width, height)
    mode = {"alpha": "RGBA", "grey": "L"}.get(kind, "RGB")
    extra = {"save_all": True, "append_images": [picture.rotate(180)]} if kind == "animated" else {}
    data = odd_images.encoded(picture.convert(mode), "AVIF", **extra)
    exact = ImageLimits(max_pixels=width * height)
    assert decoded(data, exact).any()
    short = ImageLimits(max_pixels=width * height - 1)
    detail = refused(avif_that_says(64, 64, data), RejectionReason.IMAGE_TOO_MANY_PIXELS, short)
    assert f"AV1 stream of {width} x {height}" in detail


def progressive(scans: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    data = odd_images.jpeg(progressive=True, picture=odd_images.photo(64, 64))
    last = data.rindex(b"\xff\xda")
    return data[:last] + (data[last:-2] + between) * (scans - data[:last].count(b"\xff\xda")) + b"\xff\xd9"


def test_the_scans_of_a_progressive_jpeg_are_counted() -> None:
    assert decoded(progressive(MAX_SCANS)).any()
    refused(progressive(MAX_SCANS + 1), RejectionReason.IMAGE_TOO_COSTLY)
    refused(progressive(1_300), RejectionReason.IMAGE_TOO_COSTLY)


def test_a_comment_does_not_hide_scans() -> None:
    hiding = odd_images.segment(0xFE, b"\xff\xd9")
    refused(progressive(1_300, hiding), RejectionReason.IMAGE_TOO_COSTLY)


def test_the_segments_of_a_jpeg_are_counted() -> None:
    few = odd_images.jpeg(odd_images.segment(0xFE, b"a") * (MAX_SEGMENTS - 10))
    assert decoded(few).any()
    for kind in (0xFE, 0xE1, 0xED, 0xDB):
        many = odd_images.jpeg(odd_images.segment(kind, bytes(65)) * (MAX_SEGMENTS + 1))
        refused(many, RejectionReason.IMAGE_TOO_COSTLY)


def test_exif_in_many_segments_is_not_joined() -> None:
    body = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\1\0\0" * 5_000
    data = odd_images.jpeg(odd_images.segment(0xE1, body) * 300)
    assert len(data) > 17_000_000
    np.testing.assert_array_equal(decoded(data), decoded(odd_images.jpeg()))


@pytest.mark.parametrize("size", [10, 1000])
def test_the_chunks_of_a_png_are_counted(size: int) -> None:
    profile = odd_images.chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(size)))
    assert decoded(odd_images.png(extra=profile * (MAX_OTHER_CHUNKS - 10))).any()
    refused(odd_images.png(extra=profile * 18_970), RejectionReason.IMAGE_TOO_COSTLY)


def test_the_pixel_chunks_of_a_png_are_counted() -> None:
    parts = dict(odd_images.chunks(odd_images.png()))
    begin = odd_images.PNG + odd_images.chunk(b"IHDR", parts[b"IHDR"])
    whole = odd_images.chunk(b"IDAT", parts[b"IDAT"]) + odd_images.chunk(b"IEND", b"")
    empty = odd_images.chunk(b"IDAT", b"")
    assert decoded(begin + empty * 10_000 + whole).any()
    refused(begin + empty * 1_000_000 + whole, RejectionReason.IMAGE_TOO_COSTLY)


@pytest.mark.parametrize("compression", [1, 2])
def test_a_run_length_encoded_bmp_is_refused(compression: int) -> None:
    bits = 8 if compression == 1 else 4
    info = struct.pack("<IiiHHIIiiII", 40, 7000, 7000, 1, bits, compression, 0, 0, 0, 2, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 62) + info + bytes(8) + b"\xff\0" * 14_000
    refused(data, RejectionReason.IMAGE_TOO_COSTLY)


class Watched(PixelBudget):
    """Remembers what was taken."""

    def __init__(self) -> None:
        super().__init__(10**12)
        self.sizes: list[int] = []

    def taken(self, size):
        self.sizes.append(size)
        return super().taken(size)


HELD = {
    # 640 x 480 pixels; JPEG is decoded at its full scale here.
    "JPEG": ("RGB", {}, 12),
    "PNG": ("RGBA", {}, 8),
    "WEBP": ("RGB", {}, 16),
    "AVIF": ("RGB", {}, 16),
    "GIF": ("P", {}, 9),
    "progressive": ("RGB", {"progressive": True, "subsampling": 0}, 12 + 2 * 3),
    "progressive 4:2:0": ("RGB", {"progressive": True, "subsampling": 2}, 12 + 2 * 1.5),
    "progressive CMYK": ("CMYK", {"progressive": True, "subsampling": 0}, 12 + 2 * 4),
}


@pytest.mark.parametrize("kind", HELD)
def test_room_is_taken_for_what_the_format_holds(kind: str) -> None:
    mode, options, bytes_a_pixel = HELD[kind]
    name = kind if kind in {"PNG", "WEBP", "AVIF", "GIF"} else "JPEG"
    room = Watched()
    data = odd_images.encoded(odd_images.photo(640, 480).convert(mode), name, **options)
    decode(data, 256, 256, LIMITS, room)
    assert room.sizes == [int(640 * 480 * bytes_a_pixel)]


def test_room_is_taken_for_an_av1_stream_larger_than_its_container_says() -> None:
    room = Watched()
    data = odd_images.encoded(odd_images.photo(640, 480), "AVIF")
    with suppress(Rejection):
        decode(avif_that_says(64, 64, data), 64, 64, LIMITS, room)
    assert room.sizes == [64 * 64 * 4 + 640 * 480 * 12]


def test_the_coefficients_count_in_full_where_the_pixels_are_scaled_down() -> None:
    room = Watched()
    data = odd_images.encoded(odd_images.photo(1600, 1200), "JPEG", progressive=True, subsampling=0)
    decode(data, 64, 64, LIMITS, room)
    assert room.sizes == [12 * 200 * 150 + 1600 * 1200 * 3 * 2]


def test_a_scan_of_one_component_counts_as_held_too() -> None:
    data = odd_images.jpeg(picture=Image.new("RGB", (320, 240)), subsampling=0)
    scan = data.index(b"\xff\xda")
    one = data[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + data[scan + 14 :]
    assert read_jpeg(data).extra_bytes == 0
    assert read_jpeg(one).extra_bytes == 320 * 240 * 3 * 2
