"""Small files that cost much to decode, drawn here; `BOMBS` says what becomes of each."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from schemas.rejection import RejectionReason
from tests import odd_images
from tests.odd_images import chunk, encoded, segment

SIDE = 7000  # 49 megapixels: within the limit of 50


def large_png() -> bytes:
    """49 megapixels of RGBA in 208 kB."""
    packer = zlib.compressobj(9)
    row = b"\0" + bytes((200, 100, 50, 255)) * SIDE
    data = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 0)
    return odd_images.PNG + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def progressive(mode: str) -> bytes:
    """49 megapixels whose coefficients are all held at once: 6 or 8 bytes a pixel."""
    flat = Image.new("RGB", (SIDE, SIDE), (10, 20, 30)).convert(mode)
    return encoded(flat, "JPEG", progressive=True, subsampling=0, quality=50)


def small_avif_of_a_large_stream() -> bytes:
    """The container says 64 x 64."""
    data = encoded(Image.new("RGB", (SIDE, SIDE), (10, 20, 30)), "AVIF", speed=10, quality=10)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 64, 64) + data[at + 8 :]


def small_avif_of_a_larger_stream() -> bytes:
    """The container says 64 x 64, the stream 12,000 x 12,000: drawn once, as the function above does."""
    return Path(__file__).with_name("stream_of_12000.avif").read_bytes()


def many_scans(scans: int = 1300) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    data = encoded(odd_images.photo(640, 480), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def many_profiles() -> bytes:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(odd_images.P3))
    return odd_images.png(extra=profile * 18_970)


def joined_exif() -> bytes:
    body = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\1\0\0" * 5_000
    return odd_images.jpeg(segment(0xE1, body) * 300)


def run_length_bmp(compression: int = 1, bits: int = 8) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, bits, compression, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 62) + info + bytes(8) + b"\xff\0" * 14_000


# None: it is judged, at its share of time and memory.
BOMBS: dict[str, tuple[Callable[[], bytes], RejectionReason | None]] = {
    "large.png": (large_png, None),
    "progressive_cmyk.jpg": (lambda: progressive("CMYK"), None),
    "progressive_444.jpg": (lambda: progressive("RGB"), None),
    "large_stream.avif": (small_avif_of_a_large_stream, None),
    "larger_stream.avif": (small_avif_of_a_larger_stream, RejectionReason.IMAGE_TOO_MANY_PIXELS),
    "large.webp": (lambda: encoded(Image.new("RGB", (SIDE, SIDE), (9, 9, 9)), "WEBP", lossless=True), None),
    "large.gif": (lambda: encoded(Image.new("P", (SIDE, SIDE)), "GIF"), None),
    "thin.jpg": (lambda: encoded(Image.new("RGB", (65_496, 504), (10, 20, 30)), "JPEG", quality=50), None),
    "scans.jpg": (many_scans, RejectionReason.IMAGE_TOO_COSTLY),
    "profiles.png": (many_profiles, RejectionReason.IMAGE_TOO_COSTLY),
    "joined_exif.jpg": (joined_exif, None),
    "run_length.bmp": (run_length_bmp, RejectionReason.IMAGE_TOO_COSTLY),
}
