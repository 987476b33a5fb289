"""Image bytes of every kind that a listing may bring: good, odd and broken. All drawn, none stored.

Whatever takes a `seed` gives the same bytes for the same seed.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

EXIF_ORIENTATION = 0x0112


def photo(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture as of a product: a lit backdrop, a few solids, some noise. RGB."""
    return _drawn(seed, width, height).copy()


@lru_cache(64)
def _drawn(seed: int, width: int, height: int) -> Image.Image:
    draw_from = random.Random(seed)

    def colour(low: int, high: int) -> tuple[int, int, int]:
        return (draw_from.randint(low, high), draw_from.randint(low, high), draw_from.randint(low, high))

    light, dark = (np.array(colour(*span), np.float32) for span in ((150, 250), (60, 160)))
    slope = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    pixels = np.broadcast_to(light * (1 - slope) + dark * slope, (height, width, 3))
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 1)).astype(np.float32)
    image = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(draw_from.randint(3, 6)):
        left, top = draw_from.uniform(0, 0.6) * width, draw_from.uniform(0, 0.6) * height
        box = (
            left,
            top,
            left + draw_from.uniform(0.15, 0.4) * width,
            top + draw_from.uniform(0.15, 0.4) * height,
        )
        shape = draw_from.choice((draw.ellipse, draw.rectangle, draw.rounded_rectangle))
        shape(box, fill=colour(0, 255), outline=colour(0, 90))
    return image


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:  # noqa: A002 - Pillow's name
    """The bytes of `image` in a format that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpeg(seed: int, width: int = 320, height: int = 240) -> bytes:
    """A good JPEG, the ordinary case."""
    return encoded(photo(seed, width, height), quality=88)


def png(seed: int) -> bytes:
    return encoded(photo(seed), "PNG", compress_level=1)


def webp(seed: int) -> bytes:
    return encoded(photo(seed), "WEBP", quality=80)


def cmyk_jpeg(seed: int) -> bytes:
    return encoded(photo(seed).convert("CMYK"), quality=90)


def progressive_jpeg(seed: int) -> bytes:
    return encoded(photo(seed), quality=88, progressive=True)


def grey_jpeg(seed: int) -> bytes:
    return encoded(photo(seed).convert("L"), quality=90)


def palette_png(seed: int) -> bytes:
    return encoded(photo(seed).quantize(64), "PNG")


def palette_png_with_transparency(seed: int) -> bytes:
    """A palette image whose colour 0 is transparent."""
    return encoded(photo(seed).quantize(64), "PNG", transparency=0)


def sixteen_bit_png(seed: int) -> bytes:
    """Grey, 16 bits a sample: 257 times the 8-bit value."""
    grey = np.asarray(photo(seed).convert("L"), np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def sixteen_bit_rgb_png(seed: int) -> bytes:
    """RGB, 16 bits a sample, which Pillow reads but does not write."""
    pixels = (np.asarray(photo(seed), np.uint16) * 257).astype(">u2")
    return png_of(pixels.shape[1], pixels.shape[0], 16, 2, [row.tobytes() for row in pixels])


def alpha_png(seed: int) -> bytes:
    """Its left half is fully transparent over black."""
    image = photo(seed).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, image.width // 2, image.height))
    return encoded(image, "PNG", compress_level=1)


def exif_rotated_jpeg(seed: int, orientation: int = 6) -> bytes:
    """A JPEG whose pixels lie on their side, and whose EXIF says how to turn them upright."""
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # shown after a turn to the right, so stored turned to the left
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = photo(seed)
    stored = image.transpose(turn[orientation]) if orientation in turn else image
    return encoded(stored, quality=95, subsampling=0, exif=exif)


def damaged_exif_jpeg(seed: int) -> bytes:
    """A good JPEG with an EXIF block that is no TIFF."""
    return encoded(photo(seed), quality=88, exif=b"Exif\0\0" + b"\xff" * 40)


def animation(seed: int, frames: int, format: str = "GIF", side: int = 24) -> bytes:  # noqa: A002
    """An animation of `frames` frames."""
    base = photo(seed, side, side).quantize(16)
    pictures = []
    for number in range(frames):
        picture, place = base.copy(), (number % side, number // side % side)
        picture.putpixel(place, (base.getpixel(place) + 1) % 16)  # equal frames would be merged
        pictures.append(picture if format == "GIF" else picture.convert("RGB"))
    return encoded(pictures[0], format, save_all=True, append_images=pictures[1:], duration=40, loop=0)


def thousand_frames_gif(seed: int) -> bytes:
    return animation(seed, 1000)


def one_pixel(seed: int) -> bytes:
    return encoded(photo(seed).resize((1, 1)), "PNG")


def truncated_jpeg(seed: int) -> bytes:
    """The first half of a JPEG."""
    data = jpeg(seed)
    return data[: len(data) // 2]


def truncated_png(seed: int) -> bytes:
    data = png(seed)
    return data[: len(data) // 2]


def html(seed: int) -> bytes:
    """What a shop's error page looks like when it is saved as .jpg."""
    return f"<!DOCTYPE html><html><body><h1>404 Not Found</h1><p>request {seed}</p></body></html>".encode()


def huge_png(seed: int, side: int = 50_000) -> bytes:
    """A whole and valid 1-bit PNG of 50,000 x 50,000 pixels in 0.4 MB; as RGB it would fill 7.5 GB."""
    rows = (b"\0" + b"\xaa" * (side // 8)) * 100
    # After a full flush deflate (RFC 1951) begins anew: the same rows give the same bytes, drawn once.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(side // 100):
        checksum = zlib.adler32(rows, checksum)
    data = b"\x78\xda" + packed * (side // 100) + b"\x03\x00" + struct.pack(">I", checksum)
    return _png(side, side, 1, 0, data, text=f"seed={seed}")


def huge_png_header(seed: int) -> bytes:
    """The same, cut off after its header: 50,000 x 50,000 in under 100 bytes, for tests that send many."""
    return png_of(50_000, 50_000, 1, 0, [b"\xaa" * 6250], text=f"seed={seed}")


def png_of(
    width: int, height: int, depth: int, colour_type: int, rows: Iterable[bytes], text: str = ""
) -> bytes:
    """A PNG put together by hand; each of `rows` is the bytes of a line, without filter."""
    return _png(width, height, depth, colour_type, zlib.compress(b"".join(b"\0" + row for row in rows)), text)


def _png(width: int, height: int, depth: int, colour_type: int, data: bytes, text: str) -> bytes:
    """A PNG (RFC 2083) around a zlib stream."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)),
            chunk(b"tEXt", b"Comment\0" + text.encode("latin-1")),
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        )
    )


# What must work, and what must not, by name.
GOOD: dict[str, Callable[[int], bytes]] = {
    "jpeg": jpeg,
    "progressive_jpeg": progressive_jpeg,
    "grey_jpeg": grey_jpeg,
    "cmyk_jpeg": cmyk_jpeg,
    "exif_rotated_jpeg": exif_rotated_jpeg,
    "damaged_exif_jpeg": damaged_exif_jpeg,
    "png": png,
    "palette_png": palette_png,
    "palette_png_with_transparency": palette_png_with_transparency,
    "sixteen_bit_png": sixteen_bit_png,
    "sixteen_bit_rgb_png": sixteen_bit_rgb_png,
    "alpha_png": alpha_png,
    "webp": webp,
    "short_gif": lambda seed: animation(seed, 5),
}
