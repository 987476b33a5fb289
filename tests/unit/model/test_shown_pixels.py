"""What is judged is what a browser shows: of odd files too, and never what is not in the file."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from schemas.rejection import RejectionReason
from tests import odd_images
from tests.golden.chromium import PIXELS, SIDE
from tests.odd_images import DAMAGED, LIKE, SHOWN
from worker.errors import Rejection
from worker.model.colour import Chromaticities, Colours, matrix_profile
from worker.model.decode import ImageLimits, decode
from worker.model.pixel_budget import PixelBudget

LIMITS = ImageLimits()
# Mean grey levels of 256.
LIMIT = 3
# Chromium draws what lacks its end without smoothing.
UNSMOOTHED = {"minus_1.jpg": 9, "minus_2.jpg": 9, "grey_minus_2.jpg": 4, "cmyk_minus_2.jpg": 4}
# These are made small before they are mapped to an ordinary screen, and edges are of light there.
MAPPED = {"cicp_pq.png": 5, "cicp_pq_p3.png": 5}


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(PIXELS) as held:
        return {name: held[name].astype(np.int16) for name in held.files}


def pixels(data: bytes, limits: ImageLimits = LIMITS) -> np.ndarray:
    shown = Image.fromarray(decode(data, 128, 128, limits).pixels)
    return np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.BOX), np.int16)


@pytest.mark.parametrize("name", SHOWN)
def test_the_pixels_are_those_that_chromium_shows(name: str, reference: dict[str, np.ndarray]) -> None:
    apart = np.abs(pixels(SHOWN[name]()) - reference[LIKE.get(name, name)]).mean()
    assert apart < (UNSMOOTHED | MAPPED).get(name, LIMIT)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("luminance", [None, 640])
def test_damage_is_told_and_never_judged_as_filler(name: str, luminance: int | None) -> None:
    with pytest.raises(Rejection) as caught:
        decode(DAMAGED[name](), 128, 128, LIMITS, None, luminance)
    assert caught.value.reason is RejectionReason.IMAGE_CORRUPT, caught.value.detail


def test_a_webp_is_turned_by_its_exif() -> None:
    """As Safari does, and not Chromium: an upright picture is what the seller sees on the phone."""
    turned = pixels(odd_images.encoded(odd_images.photo(), "WEBP", exif=odd_images.exif(6)))
    upright = pixels(odd_images.encoded(odd_images.photo().rotate(-90, expand=True), "WEBP"))
    assert np.abs(turned - upright).mean() < 3


def test_frames_are_counted_no_further_than_the_limit() -> None:
    data = odd_images.encoded(
        odd_images.photo(32, 32).quantize(8), "GIF", save_all=True,
        append_images=[odd_images.photo(32, 32).rotate(n).quantize(8) for n in range(1, 9)],
    )  # fmt: skip
    with pytest.raises(Rejection) as caught:
        pixels(data[:-40] + b"\x21\xf9\x04", ImageLimits(max_frames=5))
    assert caught.value.reason is RejectionReason.IMAGE_TOO_MANY_FRAMES
    assert pixels(data[:-40]).any()


def test_a_grey_profile_is_heeded_under_transparency() -> None:
    clear = odd_images.photo().convert("LA")
    got = pixels(odd_images.encoded(clear, "PNG", icc_profile=odd_images.grey_profile(3.0)))
    opaque = odd_images.encoded(clear.convert("L"), "PNG", icc_profile=odd_images.grey_profile(3.0))
    assert np.abs(got - pixels(opaque)).mean() < 1.5
    assert np.abs(got - pixels(odd_images.encoded(clear, "PNG"))).mean() > 5


def test_a_press_profile_turns_cmyk() -> None:
    inks = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    profile = odd_images.press_profile()
    without = pixels(odd_images.encoded(inks, "JPEG", quality=95))
    turned = pixels(odd_images.encoded(inks, "JPEG", quality=95, icc_profile=profile))
    assert np.abs(without[0, 0] - (0, 255, 255)).max() < 6
    assert turned.min() > 245  # this profile's cyan prints as paper


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        b"", b"not a profile", odd_images.P3[:200], odd_images.P3[:16] + b"CMYK" + odd_images.P3[20:],
        odd_images.P3 + bytes(5_000_000),
    ],
    ids=["srgb", "empty", "junk", "cut", "of other channels", "too long"],
)  # fmt: skip
def test_a_profile_that_changes_nothing_or_is_none_costs_nothing(profile: bytes) -> None:
    assert Colours(icc=profile).transform("RGB") is None


def test_colours_are_turned_alike_in_many_threads() -> None:
    data = odd_images.encoded(odd_images.photo(1200, 900), "JPEG", icc_profile=odd_images.P3)
    alone = decode(data, 128, 128, LIMITS).pixels
    with ThreadPoolExecutor(8) as threads:
        for beside in threads.map(lambda _: decode(data, 128, 128, LIMITS).pixels, range(64)):
            np.testing.assert_array_equal(beside, alone)


def test_the_profile_made_of_srgbs_own_numbers_is_srgb() -> None:
    srgb = Chromaticities(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
    assert Colours(icc=matrix_profile(srgb, None)).transform("RGB") is None
    assert Colours(icc=matrix_profile(srgb, 1.0)).transform("RGB") is not None


@pytest.mark.parametrize("said", [Chromaticities(*[0.0] * 8), Chromaticities(*[42949.0] * 8)])
def test_chromaticities_that_are_no_colours_are_passed_over(said: Chromaticities) -> None:
    picture = odd_images.png(extra=odd_images.gamma(0.6) + odd_images.primaries(said))
    assert np.abs(pixels(picture) - pixels(odd_images.png())).mean() < 1


def test_room_is_taken_before_any_pixel_is_decoded() -> None:
    """EXIF of a PNG is read without its pixels, which Image.getexif() would load."""
    taken = []

    class Watched(PixelBudget):
        def taken(self, size):
            taken.append(size)
            assert not loaded
            return super().taken(size)

    loaded: list[str] = []
    whole = Image.Image.load
    data = odd_images.encoded(odd_images.photo(), "PNG", exif=odd_images.exif(6))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Image.Image, "load", lambda image: (loaded.append(image.mode), whole(image))[1])
        decode(data, 128, 128, LIMITS, Watched(10**9))
    assert taken == [320 * 240 * 8]
    assert loaded


def test_a_long_profile_in_a_png_is_not_unpacked_in_full() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    extra = odd_images.chunk(b"iCCP", b"x\0\0" + bomb)
    assert np.abs(pixels(odd_images.png(extra=extra)) - pixels(odd_images.png())).mean() == 0


def test_the_canvas_counts_and_not_the_frame_alone() -> None:
    gif = odd_images.gif(0, 0, (60_000, 60_000))
    with pytest.raises(Rejection) as caught:
        pixels(gif)
    assert caught.value.reason is RejectionReason.IMAGE_TOO_MANY_PIXELS
    decoded = decode(odd_images.gif(80, 60, (320, 240)), 128, 128, LIMITS)
    assert (decoded.original_width, decoded.original_height) == (320, 240)


def test_a_row_of_a_bmp_may_lack_its_padding() -> None:
    picture = odd_images.photo(101, 80)  # 303 bytes and one of padding
    data = odd_images.encoded(picture, "BMP")
    np.testing.assert_array_equal(pixels(data[:-1]), pixels(data))
    with pytest.raises(Rejection):
        pixels(data[:-200])


def test_what_a_file_holds_beside_its_picture_does_not_reach_pillow() -> None:
    from worker.model.jpeg import read_jpeg

    plain = odd_images.jpeg()
    crowded = odd_images.jpeg(
        b"".join(odd_images.segment(0xE0 + n, b"anything") for n in (1, 2, 3, 5, 13))
        + odd_images.segment(0xFE, b"a comment")
    )
    still = read_jpeg(crowded)
    assert still.data == plain
    with Image.open(io.BytesIO(still.data)) as image:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_density", "jfif_unit", "dpi"}
    assert struct.unpack(">H", still.data[:2]) == (0xFFD8,)
