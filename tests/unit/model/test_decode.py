"""Decoding: what must work, what is refused and why, and that the pixels are right."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from schemas.rejection import RejectionReason
from tests import images
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode
from worker.model.pixel_budget import PixelBudget

HEIGHT, WIDTH = 96, 128
LIMITS = ImageLimits()


def pixels(data: bytes, limits: ImageLimits = LIMITS) -> np.ndarray:
    decoded = decode(data, HEIGHT, WIDTH, limits)
    assert decoded.pixels.shape == (HEIGHT, WIDTH, 3)
    assert decoded.pixels.dtype == np.uint8
    return decoded.pixels.astype(np.int16)


def reference(seed: int) -> np.ndarray:
    """The drawn photo, stretched without any codec in between."""
    return np.asarray(images.photo(seed).resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.int16)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


IN_COLOUR = [
    "jpeg",
    "progressive_jpeg",
    "cmyk_jpeg",
    "exif_rotated_jpeg",
    "damaged_exif_jpeg",
    "png",
    "palette_png",
    "sixteen_bit_rgb_png",
    "webp",
]


@pytest.mark.parametrize("kind", IN_COLOUR)
def test_every_colour_format_gives_the_drawn_pixels(kind: str) -> None:
    assert mean_difference(pixels(images.GOOD[kind](7)), reference(7)) < 6


@pytest.mark.parametrize("kind", ["grey_jpeg", "sixteen_bit_png"])
def test_grey_images_give_three_equal_channels_of_full_range(kind: str) -> None:
    got = pixels(images.GOOD[kind](7))
    grey = np.asarray(images.photo(7).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.int16)
    assert (got[..., 0] == got[..., 1]).all()
    assert (got[..., 0] == got[..., 2]).all()
    assert mean_difference(got[..., 0], grey) < 3
    assert got.max() - got.min() > 100  # not clipped to white, as convert("L") would


def test_transparent_pixels_are_seen_over_white() -> None:
    got = pixels(images.alpha_png(7))
    assert (got[:, : WIDTH // 2 - 2] == 255).all()
    assert mean_difference(got[:, WIDTH // 2 + 2 :], reference(7)[:, WIDTH // 2 + 2 :]) < 3


def test_a_palettes_transparent_colour_is_seen_over_white() -> None:
    clear = Image.new("P", (64, 64), 0)
    clear.putpalette([255, 0, 0] * 256)
    got = pixels(images.encoded(clear, "PNG", transparency=0))
    assert (got == 255).all()


def test_a_large_transparent_image_is_reduced_as_an_opaque_one_is() -> None:
    opaque = images.photo(7, 1100, 900)
    clear = opaque.copy()
    clear.putalpha(254)
    got = [pixels(images.encoded(image, "PNG", compress_level=1)) for image in (opaque, clear)]
    assert mean_difference(*got) < 1.5


def test_images_wait_for_room_and_give_it_back_also_when_they_are_damaged() -> None:
    room = PixelBudget(8 * 64 * 64)
    whole = images.encoded(images.photo(7, 64, 64), "PNG")
    with ThreadPoolExecutor(1) as other:
        with room.taken(1):
            waiting = other.submit(decode, whole, HEIGHT, WIDTH, LIMITS, room)
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
        assert waiting.result(5).original_width == 64
        with pytest.raises(Rejection):
            decode(whole[: len(whole) // 2], HEIGHT, WIDTH, LIMITS, room)
        larger = images.encoded(images.photo(7, 128, 128), "PNG")  # than all the room there is
        assert other.submit(decode, larger, HEIGHT, WIDTH, LIMITS, room).result(5).original_width == 128


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_gives_the_same_pixels_as_the_upright_image(orientation: int) -> None:
    upright = pixels(images.encoded(images.photo(7), quality=95, subsampling=0))
    turned = decode(images.exif_rotated_jpeg(7, orientation), HEIGHT, WIDTH, LIMITS)
    assert mean_difference(turned.pixels.astype(np.int16), upright) < 2


def test_a_large_jpeg_decoded_at_a_smaller_scale_is_close_to_the_full_decode() -> None:
    data = images.jpeg(7, 1600, 1200)
    full = Image.open(io.BytesIO(data)).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    assert mean_difference(pixels(data), np.asarray(full, np.int16)) < 3


def test_decode_tells_the_size_and_format_of_the_original() -> None:
    decoded = decode(images.jpeg(7, 640, 480), HEIGHT, WIDTH, LIMITS)
    assert (decoded.original_width, decoded.original_height, decoded.format) == (640, 480, "JPEG")


def test_an_animation_is_judged_by_its_first_frame() -> None:
    first = (
        images.photo(7, 24, 24).quantize(16).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    )
    assert mean_difference(pixels(images.animation(7, 5)), np.asarray(first, np.int16)) < 4


REFUSED = {
    "no bytes": (b"", RejectionReason.SOURCE_EMPTY),
    "html called .jpg": (images.html(1), RejectionReason.IMAGE_NOT_AN_IMAGE),
    "random bytes": (bytes(range(256)) * 4, RejectionReason.IMAGE_NOT_AN_IMAGE),
    "a known format that is not accepted": (
        images.encoded(images.photo(1), "TIFF"),
        RejectionReason.IMAGE_NOT_AN_IMAGE,
    ),
    "truncated jpeg": (images.truncated_jpeg(1), RejectionReason.IMAGE_CORRUPT),
    "truncated png": (images.truncated_png(1), RejectionReason.IMAGE_CORRUPT),
    "three bytes of a jpeg": (images.jpeg(1)[:3], RejectionReason.IMAGE_NOT_AN_IMAGE),
    "50,000 x 50,000 png": (images.huge_png_header(1), RejectionReason.IMAGE_TOO_MANY_PIXELS),
    "1,000 frames": (images.thousand_frames_gif(1), RejectionReason.IMAGE_TOO_MANY_FRAMES),
    "1 x 1": (images.one_pixel(1), RejectionReason.IMAGE_TOO_SMALL),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_the_reason_that_fits(what: str) -> None:
    data, reason = REFUSED[what]
    with pytest.raises(Rejection) as caught:
        decode(data, HEIGHT, WIDTH, LIMITS)
    assert caught.value.reason is reason, caught.value.detail
    assert caught.value.detail


def test_a_whole_png_of_50_000_x_50_000_is_refused_without_its_pixels_being_made() -> None:
    data = images.huge_png(1)
    with pytest.raises(Rejection) as caught:
        decode(data, HEIGHT, WIDTH, LIMITS)
    assert caught.value.reason is RejectionReason.IMAGE_TOO_MANY_PIXELS
    assert "50000 x 50000" in caught.value.detail
    assert len(data) < 1_000_000


@pytest.mark.parametrize("extra", [0, 1])
def test_the_pixel_limit_is_exact(extra: int) -> None:
    limits = ImageLimits(max_pixels=320 * 240 - extra)
    if extra == 0:
        assert pixels(images.jpeg(1), limits).any()
        return
    with pytest.raises(Rejection, match="320 x 240"):
        pixels(images.jpeg(1), limits)


def test_the_frame_limit_is_exact_in_every_animated_format() -> None:
    for kind in ("GIF", "PNG", "WEBP"):
        data = images.animation(1, 12, kind)
        assert pixels(data, ImageLimits(max_frames=12)).any(), kind
        with pytest.raises(Rejection, match="12 frames"):
            pixels(data, ImageLimits(max_frames=11))


def test_the_side_limit_looks_at_the_shorter_side() -> None:
    thin = images.encoded(images.photo(1, 400, 7), "PNG")
    with pytest.raises(Rejection) as caught:
        pixels(thin)
    assert caught.value.reason is RejectionReason.IMAGE_TOO_SMALL
    assert pixels(images.encoded(images.photo(1, 400, 8), "PNG")).any()


def test_any_single_byte_of_damage_is_decoded_or_refused_but_never_another_error() -> None:
    data = bytearray(images.jpeg(3, 64, 64))
    outcomes = {"decoded": 0, "refused": 0}
    for position in range(0, len(data), 7):
        damaged = bytes(data[:position]) + bytes([data[position] ^ 0xFF]) + bytes(data[position + 1 :])
        try:
            decode(damaged, HEIGHT, WIDTH, LIMITS)
            outcomes["decoded"] += 1
        except Rejection:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0
    assert outcomes["decoded"] > 0
