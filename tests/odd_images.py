"""Odd images that browsers show and decoders trip over, drawn here. `SHOWN` names them all.

`tests/golden/chromium.npz` holds what Chromium shows of each.
"""

import functools
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw

from tests import images
from worker.model.colour import Chromaticities, matrix_profile

PNG = b"\x89PNG\r\n\x1a\n"
DISPLAY_P3 = Chromaticities(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
PROPHOTO = Chromaticities(0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
ADOBE = Chromaticities(0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


@functools.cache
def photo(width: int = 320, height: int = 240) -> Image.Image:
    """Gradients and shapes by which sides and colours can be told."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([60 + 150 * x / width, 90 + 90 * y / height, 190 - 140 * x / width], -1)
    drawn = Image.fromarray(ground.astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    pen.ellipse((width * 0.1, height * 0.1, width * 0.45, height * 0.6), fill=(200, 40, 30))
    pen.rectangle((width * 0.6, height * 0.55, width * 0.95, height * 0.9), fill=(250, 210, 40))
    return drawn


def notice(width: int = 320, height: int = 240) -> Image.Image:
    """Black bars on white, as unlike the photo as can be."""
    drawn = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(drawn)
    for line in range(5):
        pen.rectangle((20, 20 + 44 * line, width - 20 - 30 * line, 40 + 44 * line), fill="black")
    return drawn


encoded = images.encoded


# --- PNG


def chunk(kind: bytes, body: bytes, *, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (1 if damaged else 0)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size


def with_chunks(png: bytes, extra: bytes) -> bytes:
    """`extra` behind IHDR."""
    return PNG + b"".join(
        chunk(kind, body) + (extra if kind == b"IHDR" else b"") for kind, body in chunks(png)
    )


def png(picture: Image.Image | None = None, extra: bytes = b"") -> bytes:
    return with_chunks(encoded(picture or photo(), "PNG"), extra)


def raw_png(rows: np.ndarray, width: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def primaries(said: Chromaticities) -> bytes:
    values = (said.white_x, said.white_y, said.red_x, said.red_y)
    values += (said.green_x, said.green_y, said.blue_x, said.blue_y)
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def linear(picture: Image.Image) -> Image.Image:
    return picture.point(lambda value: round(255 * (value / 255) ** 2.2))


def apng(
    default: Image.Image, frame: Image.Image, at: tuple[int, int] = (0, 0), frames: int = 1, control: int = 1
) -> bytes:
    """Animation whose default image is hidden; `control` frame controls stand before the frame's data."""
    parts = dict(chunks(encoded(default, "PNG")))
    out = PNG + chunk(b"IHDR", parts[b"IHDR"]) + chunk(b"acTL", struct.pack(">II", frames, 0))
    out += chunk(b"IDAT", parts[b"IDAT"])
    sequence = 0
    for number in range(frames):
        size = struct.pack(">IIII", *frame.size, *at)
        for _ in range(control):
            out += chunk(b"fcTL", struct.pack(">I", sequence) + size + struct.pack(">HHBB", 100, 1, 0, 0))
            sequence += 1
        shown = frame if number == 0 else default.resize(frame.size)
        out += chunk(b"fdAT", struct.pack(">I", sequence) + dict(chunks(encoded(shown, "PNG")))[b"IDAT"])
        sequence += 1
    return out + chunk(b"IEND", b"")


def grey16(hole: int | None) -> bytes:
    values = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    extra = b""
    if hole is not None:
        values[50:190, 75:250] = hole
        extra = chunk(b"tRNS", struct.pack(">H", hole))
    return raw_png(values.astype(">u2"), 320, 16, 0, extra)


def grey4(hole: int) -> bytes:
    values = np.asarray(photo().convert("L")) >> 4
    values[50:190, 75:250] = hole
    return raw_png(
        (values[:, ::2] << 4) | values[:, 1::2], 320, 4, 0, chunk(b"tRNS", struct.pack(">H", hole))
    )


def rgb16() -> bytes:
    values = np.asarray(photo()).astype(np.uint16) * 257
    values[50:190, 75:250] = (0x1234, 0x5678, 0x9ABC)
    return raw_png(
        values.astype(">u2"), 320, 16, 2, chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    )


# --- GIF


def gif(
    left: int, top: int, screen: tuple[int, int], *, local: bool = False, clear: int | None = None
) -> bytes:
    """A frame of 160 x 120 at a place of its screen, whose background colour is dark blue."""
    small = photo(160, 120).quantize(64)
    data = encoded(small, "GIF")
    table_end = 13 + (3 << ((data[10] & 7) + 1))
    table, at = b"\x0a\x14\xa0" + data[16:table_end], table_end
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    flags = data[10] & 7 | 0x80
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, data[10] & 0x7F if local else data[10], 0, 0)
    control = b"" if clear is None else b"\x21\xf9\x04\x01\0\0" + bytes([clear]) + b"\0"
    image = b"," + struct.pack("<HHHHB", left, top, 160, 120, flags if local else 0)
    return header + (b"" if local else table) + control + image + (table if local else b"") + data[at + 10 :]


def gif_with_cut_frame(left_over: int) -> bytes:
    """A whole frame, then one of which only `left_over` bytes are there."""
    whole = encoded(photo().quantize(64), "GIF")
    table_end = 13 + (3 << ((whole[10] & 7) + 1))
    return whole[:-1] + whole[table_end:-1][:left_over]


def animation(kind: str) -> bytes:
    return encoded(photo(), kind, save_all=True, append_images=[notice()], duration=10_000)


# --- JPEG


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(extra: bytes = b"", picture: Image.Image | None = None, **options: object) -> bytes:
    data = encoded(picture or photo(), "JPEG", quality=90, **options)
    return data[:2] + extra + data[2:]


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></x:xmpmeta>'
    ).encode()


# --- profiles


def grey_profile(exponent: float) -> bytes:
    curve = struct.pack(">4sIHHi", b"para", 0, 0, 0, round(exponent * 65536))
    return _profile(b"GRAY", b"XYZ ", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"kTRC": curve})


def press_profile() -> bytes:
    """CMYK of which every ink but black does nothing: paper white to black by K alone."""
    grid = bytearray()
    for corner in range(16):
        grid += bytes((20 if corner & 1 else 255, 128, 128))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i in {0, 4, 8} else 0 for i in range(9)))
    table = struct.pack(">4sIBBBx", b"mft1", 0, 4, 3, 2) + identity + ramp * 4 + bytes(grid) + ramp * 3
    return _profile(b"CMYK", b"Lab ", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"A2B0": table}, b"prtr")


def _xyz(*values: float) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in values))


def _profile(space: bytes, between: bytes, tags: dict[bytes, bytes], device: bytes = b"mntr") -> bytes:
    table, bodies, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body.ljust((len(body) + 3) // 4 * 4, b"\0")
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x3i", at + len(bodies), b"", 0x02400000, device, space, between, b"acsp",
        63190, 65536, 54061,
    )  # fmt: skip
    return header.ljust(128, b"\0") + table + bodies


# --- WebP and BMP


def webp_with_size(off_by: int, **options: object) -> bytes:
    data = encoded(photo(), "WEBP", **options)
    return data[:4] + struct.pack("<I", len(data) - 8 + off_by) + data[8:]


def webp_without_padding() -> bytes:
    """A WebP whose last chunk has an odd size, and no byte of padding behind it."""
    data = encoded(photo(), "WEBP") + b"NOTE" + struct.pack("<I", 3) + b"odd"
    return data[:4] + struct.pack("<I", len(data) - 7) + data[8:]


def bmp(
    masks: tuple[int, ...], bits: int, *, header: int = 40, compression: int = 3, down: bool = False
) -> bytes:
    """Bit fields of red, green, blue and, with four masks, alpha, which is clear on the left third."""
    pixels = np.asarray(photo(101, 80)).astype(np.uint64)
    planes = [*np.moveaxis(pixels, -1, 0), np.where(np.arange(101) < 33, 0, 255)[None].repeat(80, 0)]
    values = np.zeros(pixels.shape[:2], np.uint64)
    for plane, mask in zip(planes, masks, strict=False):
        shift = (mask & -mask).bit_length() - 1
        values |= (plane.astype(np.uint64) * (mask >> shift) // 255) << np.uint64(shift)
    rows = values if down else values[::-1]
    step = (101 * bits + 31) // 32 * 4
    raw = b"".join(row.astype(f"<u{bits // 8}").tobytes().ljust(step, b"\0") for row in rows)
    fields = b"".join(struct.pack("<I", mask) for mask in masks).ljust(header - 40, b"\0")
    info = struct.pack(
        "<IiiHHIIiiII", header, 101, -80 if down else 80, 1, bits, compression, len(raw), 0, 0, 0, 0
    )
    begin = 14 + len(info) + len(fields)
    return b"BM" + struct.pack("<IHHI", begin + len(raw), 0, 0, begin) + info + fields + raw


LONG_TEXT = b"<history/>" * 300_000
P3, WIDE = matrix_profile(DISPLAY_P3, None), matrix_profile(PROPHOTO, 1.8)


def half_clear() -> Image.Image:
    clear = photo().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    return clear


SHOWN: dict[str, Callable[[], bytes]] = {
    "png": png,
    "text_crc.png": lambda: png(extra=chunk(b"tEXt", b"Software\0an app", damaged=True)),
    "time_crc.png": lambda: png(extra=chunk(b"tIME", bytes(7), damaged=True)),
    "profile_crc.png": lambda: png(extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(P3), damaged=True)),
    "gamma_crc.png": lambda: png(extra=chunk(b"gAMA", struct.pack(">I", 100_000), damaged=True)),
    "private_crc.png": lambda: png(extra=chunk(b"prVt", b"??", damaged=True)),
    "long_ztxt.png": lambda: png(extra=chunk(b"zTXt", b"Raw\0\0" + zlib.compress(LONG_TEXT, 9))),
    "long_itxt.png": lambda: png(extra=chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG_TEXT, 9))),
    "long_text.png": lambda: png(extra=chunk(b"tEXt", b"prompt\0" + LONG_TEXT)),
    "many_texts.png": lambda: png(extra=chunk(b"tEXt", b"a\0" + bytes(90_000)) * 90),
    "no_iend.png": lambda: png()[:-12],
    "half_iend.png": lambda: png()[:-5],
    "no_checksum.png": lambda: png()[:-20],
    "junk_behind.png": lambda: png() + b"\0" * 500,
    "apng_hidden.png": lambda: apng(photo(), notice()),
    "apng_hidden_small.png": lambda: apng(photo(), notice(200, 200), (60, 20)),
    "apng_hidden_two.png": lambda: apng(photo(), notice(), frames=2),
    "apng_palette.png": lambda: apng(photo().convert("L"), notice().convert("L")),
    "apng.png": lambda: animation("PNG"),
    "apng_cut.png": lambda: animation("PNG")[:-200],
    "gamma_1.png": lambda: png(linear(photo()), gamma(1.0)),
    "gamma_18.png": lambda: png(extra=gamma(1 / 1.8)),
    "gamma_22.png": lambda: png(extra=gamma(0.45455)),
    "gamma_grey.png": lambda: png(linear(photo()).convert("L"), gamma(1.0)),
    "gamma_palette.png": lambda: png(linear(photo()).quantize(64), gamma(1.0)),
    "gamma_clear.png": lambda: png(half_clear(), gamma(1.0)),
    "chrm_p3.png": lambda: png(extra=gamma(0.45455) + primaries(DISPLAY_P3)),
    "chrm_prophoto.png": lambda: png(extra=gamma(1 / 1.8) + primaries(PROPHOTO)),
    "chrm_alone.png": lambda: png(extra=primaries(PROPHOTO)),
    "srgb_wins.png": lambda: png(extra=gamma(1.0) + primaries(PROPHOTO) + chunk(b"sRGB", b"\0")),
    "iccp_wins.png": lambda: png(extra=gamma(1.0) + chunk(b"iCCP", b"x\0\0" + zlib.compress(P3))),
    "cicp_p3.png": lambda: png(extra=chunk(b"cICP", bytes((12, 13, 0, 1)))),
    "cicp_pq.png": lambda: png(extra=chunk(b"cICP", bytes((9, 16, 0, 1)))),
    "cicp_pq_p3.png": lambda: png(extra=chunk(b"cICP", bytes((12, 16, 0, 1)))),
    "cicp_hlg.png": lambda: png(extra=chunk(b"cICP", bytes((9, 18, 0, 1)))),
    "cicp_hlg_709.png": lambda: png(extra=chunk(b"cICP", bytes((1, 18, 0, 1)))),
    "cicp_linear.png": lambda: png(extra=chunk(b"cICP", bytes((1, 8, 0, 1)))),
    "grey16.png": lambda: grey16(None),
    "grey16_hole.png": lambda: grey16(0x1234),
    "grey16_black_hole.png": lambda: grey16(0),
    "grey16_odd_hole.png": lambda: grey16(0x80FF),
    "grey4_hole.png": lambda: grey4(9),
    "rgb16_hole.png": rgb16,
    "exif_6.png": lambda: encoded(photo(), "PNG", exif=exif(6)),
    "xmp_6.png": lambda: png(extra=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6))),
    "corner.gif": lambda: gif(160, 120, (320, 240)),
    "middle.gif": lambda: gif(80, 60, (320, 240)),
    "clear.gif": lambda: gif(80, 60, (320, 240), clear=5),
    "local.gif": lambda: gif(20, 30, (320, 240), local=True),
    "outside.gif": lambda: gif(40, 40, (100, 80)),
    "whole.gif": lambda: encoded(photo().quantize(64), "GIF"),
    "cut_in_data.gif": lambda: gif_with_cut_frame(200),
    "cut_in_descriptor.gif": lambda: gif_with_cut_frame(8) + b"\x21\xf9",
    "cut_in_control.gif": lambda: gif_with_cut_frame(0) + b"\x21\xf9\x04\0",
    "no_trailer.gif": lambda: gif(0, 0, (160, 120))[:-1],
    "animated.gif": lambda: animation("GIF"),
    "jpg": jpeg,
    "minus_1.jpg": lambda: jpeg()[:-1],
    "minus_2.jpg": lambda: jpeg()[:-2],
    "grey_minus_2.jpg": lambda: jpeg(picture=photo().convert("L"))[:-2],
    "cmyk_minus_2.jpg": lambda: jpeg(picture=photo().convert("CMYK"))[:-2],
    "progressive_minus_2.jpg": lambda: jpeg(progressive=True)[:-2],
    "optimised.jpg": lambda: jpeg(optimize=True, picture=notice()),
    "optimised_minus_2.jpg": lambda: jpeg(optimize=True, picture=notice())[:-2],
    "optimised_minus_3.jpg": lambda: jpeg(optimize=True, picture=notice())[:-3],
    "minus_3.jpg": lambda: jpeg()[:-3],
    "minus_2.bmp": lambda: encoded(photo(101, 80), "BMP")[:-2],
    "minus_50.bmp": lambda: encoded(photo(101, 80), "BMP")[:-50],
    "zeros_behind.jpg": lambda: jpeg()[:-2] + bytes(3000),
    "film_behind.jpg": lambda: jpeg() + b"\0\0\0\x18ftypmp42" + bytes(3000),
    "mid_grey.jpg": lambda: jpeg(picture=Image.new("RGB", (200, 100), (128, 128, 128))),
    "junk_between.jpg": lambda: jpeg(segment(0xFE, b"a note") + b"\0\0\0\0"),
    "exif_6.jpg": lambda: jpeg(exif=exif(6)),
    "exif_8.jpg": lambda: jpeg(exif=exif(8)),
    "xmp_6.jpg": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6))),
    "xmp_3.jpg": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(3)), progressive=True),
    "exif_1_xmp_6.jpg": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)), exif=exif(1)),
    "xmp_6.webp": lambda: encoded(photo(), "WEBP", xmp=xmp(6)),
    "profile_p3.jpg": lambda: jpeg(icc_profile=P3),
    "profile_prophoto.jpg": lambda: jpeg(icc_profile=WIDE),
    "profile_adobe.jpg": lambda: jpeg(icc_profile=matrix_profile(ADOBE, 2.2)),
    "profile_broken.jpg": lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\1\1not a profile")),
    "profile_part.jpg": lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\1\2" + P3)),
    "profile_p3.png": lambda: encoded(photo(), "PNG", icc_profile=P3),
    "profile_palette.png": lambda: encoded(photo().quantize(64), "PNG", icc_profile=P3),
    "profile_clear.png": lambda: encoded(half_clear(), "PNG", icc_profile=WIDE),
    "profile_p3.webp": lambda: encoded(photo(), "WEBP", icc_profile=P3),
    "profile_clear.webp": lambda: encoded(half_clear(), "WEBP", icc_profile=WIDE),
    "profile_p3.avif": lambda: encoded(photo(), "AVIF", icc_profile=P3),
    "profile_grey.jpg": lambda: jpeg(picture=photo().convert("L"), icc_profile=grey_profile(1.0)),
    "profile_grey.png": lambda: encoded(photo().convert("L"), "PNG", icc_profile=grey_profile(3.0)),
    "avif": lambda: encoded(photo(), "AVIF"),
    "exif_6.avif": lambda: encoded(photo(), "AVIF", exif=exif(6)),
    "webp": lambda: encoded(photo(), "WEBP"),
    "size_plus_1.webp": lambda: webp_with_size(1, lossless=True),
    "size_plus_3.webp": lambda: webp_with_size(3),
    "size_minus_1.webp": lambda: webp_with_size(-1),
    "minus_1.webp": lambda: encoded(photo(), "WEBP")[:-1],
    "lossless_minus_1.webp": lambda: encoded(photo(640, 480), "WEBP", lossless=True)[:-1],
    "no_padding.webp": webp_without_padding,
    "animated.webp": lambda: animation("WEBP"),
    "animated_cut.webp": lambda: animation("WEBP")[:-100],
    "444.bmp": lambda: bmp((0xF00, 0xF0, 0xF), 16),
    "565.bmp": lambda: bmp((0xF800, 0x7E0, 0x1F), 16),
    "1010102.bmp": lambda: bmp((0x3FF00000, 0xFFC00, 0x3FF), 32),
    "111110.bmp": lambda: bmp((0xFFE00000, 0x1FFC00, 0x3FF), 32, down=True),
    "rgba.bmp": lambda: bmp((0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, header=108),
    "4444.bmp": lambda: bmp((0xF00, 0xF0, 0xF, 0xF000), 16, header=56),
    "alpha_fields.bmp": lambda: bmp((0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, compression=6),
}  # fmt: skip

# Told by the whole picture. Read from a file, Chromium waits at times for bytes that do not come.
LIKE = {
    "optimised_minus_2.jpg": "optimised.jpg",
    "optimised_minus_3.jpg": "optimised.jpg",
    "minus_3.jpg": "jpg",
}
LIKE |= dict.fromkeys(("cut_in_data.gif", "cut_in_descriptor.gif", "cut_in_control.gif"), "whole.gif")
LIKE |= dict.fromkeys(
    (
        "size_plus_1.webp", "size_plus_3.webp", "size_minus_1.webp", "minus_1.webp", "lossless_minus_1.webp",
        "no_padding.webp", "animated_cut.webp",
    ),
    "webp",
)  # fmt: skip


def damaged_png(where: float) -> bytes:
    """A PNG whose deflate stream is overwritten at a share of its length."""
    parts = dict(chunks(png()))
    data = bytearray(parts[b"IDAT"])
    at = int(len(data) * where)
    data[at : at + 8] = b"\xff" * 8
    return PNG + chunk(b"IHDR", parts[b"IHDR"]) + chunk(b"IDAT", bytes(data)) + chunk(b"IEND", b"")


def png_with_bad_filter(row: int) -> bytes:
    rows = [
        (b"\x09" if number == row else b"\0") + line.tobytes()
        for number, line in enumerate(np.asarray(photo()))
    ]
    header = struct.pack(">IIBBBBB", 320, 240, 8, 2, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


# What has a part of its picture missing or damaged.
DAMAGED: dict[str, Callable[[], bytes]] = {
    "deflate_early.png": lambda: damaged_png(0.1),
    "deflate_middle.png": lambda: damaged_png(0.5),
    "deflate_late.png": lambda: damaged_png(0.9),
    "filter.png": lambda: png_with_bad_filter(60),
    "last_filter.png": lambda: png_with_bad_filter(239),
    "half.png": lambda: _half(png()),
    "half_with_end.png": lambda: with_chunks(
        PNG + b"".join(
            chunk(kind, _half(body) if kind == b"IDAT" else body) for kind, body in chunks(png())
        ), b"",
    ),
    "header_checksum.png": lambda: PNG + chunk(b"IHDR", png()[16:29], damaged=True) + png()[33:],
    "apng_half_frame.png": lambda: apng(photo(), notice())[:-60],
    "half.jpg": lambda: _half(jpeg()),
    "half_with_end.jpg": lambda: _half(jpeg()) + b"\xff\xd9",
    "half_with_zeros.jpg": lambda: _half(jpeg()) + bytes(len(jpeg()) // 2),
    "half_optimised_with_zeros.jpg": lambda: _half(jpeg(optimize=True)) + bytes(3000),
    "half_with_ones.jpg": lambda: _half(jpeg()) + b"\xff" * 3000,
    "nine_tenths.jpg": lambda: jpeg()[: len(jpeg()) * 9 // 10],
    "grey_half_with_end.jpg": lambda: _half(jpeg(picture=photo().convert("L"))) + b"\xff\xd9",
    "cmyk_half_with_end.jpg": lambda: _half(jpeg(picture=photo().convert("CMYK"))) + b"\xff\xd9",
    "progressive_third.jpg": lambda: jpeg(progressive=True)[:1500],
    "half.webp": lambda: _half(encoded(photo(), "WEBP")),
    "half_lossless.webp": lambda: _half(encoded(photo(), "WEBP", lossless=True)),
    "half_first_frame.webp": lambda: animation("WEBP")[:1200],
    "half.gif": lambda: _half(encoded(photo().quantize(64), "GIF")),
    "half_with_end.gif": lambda: _half(encoded(photo().quantize(64), "GIF")) + b"\0;",
    "half_first_frame.gif": lambda: animation("GIF")[:4000],
    "half.bmp": lambda: _half(encoded(photo(), "BMP")),
    "half_fields.bmp": lambda: _half(bmp((0xF00, 0xF0, 0xF), 16)),
    "half.avif": lambda: _half(encoded(photo(), "AVIF")),
}  # fmt: skip
