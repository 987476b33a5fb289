"""Every resize mode against what its reference library does, and independent of the other inputs."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from schemas.bundle import ImageInput
from tests import images
from worker.model.decode import ImageLimits, decode, decode_inputs
from worker.model.fit import whole_size

LIMITS = ImageLimits()
CROP = ImageInput(height=224, width=224, resize="crop", filter="bicubic", crop_share=0.875)
LETTERBOX = ImageInput(height=96, width=128, resize="letterbox", fill=114)


def photo(width: int, height: int) -> Image.Image:
    """A smooth picture with a different colour in every corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [
        255 * columns / width,
        255 * rows / height,
        127 + 100 * np.sin(columns / 40) * np.cos(rows / 30),
    ]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, subsampling=0, **options)
    return out.getvalue()


def difference(ours: np.ndarray, reference: Image.Image) -> float:
    assert ours.shape == (reference.height, reference.width, 3)
    return float(np.abs(ours.astype(int) - np.asarray(reference).astype(int)).mean())


@pytest.mark.parametrize(
    ("width", "height"), [(1200, 900), (900, 1200), (640, 640), (300, 260), (1920, 401), (885, 1200)]
)
def test_crop_is_within_a_grey_level_of_resizing_the_shorter_side_and_cropping_the_middle(width, height):
    data = jpeg(photo(width, height))
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    size = int(256 * width / min(width, height)), int(256 * height / min(width, height))
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    reference = whole.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    (ours,) = decode_inputs(data, [CROP], LIMITS).sizes
    assert difference(ours, reference) < 1


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (300, 900), (1000, 120)])
def test_letterbox_keeps_the_whole_image_in_the_middle_of_its_grey(width, height):
    data = jpeg(photo(width, height))
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    reference = ImageOps.pad(whole, (128, 96), Image.Resampling.BILINEAR, (114,) * 3)
    (ours,) = decode_inputs(data, [LETTERBOX], LIMITS).sizes
    assert difference(ours, reference) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("wanted", [CROP, LETTERBOX])
def test_a_turned_image_is_turned_before_it_is_cropped_or_padded(orientation, wanted):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(photo(800, 500), exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as stored:
        upright = jpeg(ImageOps.exif_transpose(stored))
    ours = decode_inputs(data, [wanted], LIMITS).pixels
    reference = decode_inputs(upright, [wanted], LIMITS).pixels
    # A crop of an odd remainder may lie a pixel further after turning.
    assert np.abs(ours.astype(int) - reference.astype(int)).mean() < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_inputs_pixels_hang_on_no_other_input(kind):
    data = images.encoded(images.photo(7, 1200, 900), kind)
    inputs = [ImageInput(height=128, width=128), CROP, LETTERBOX, ImageInput(height=64, width=64)]
    together = decode_inputs(data, inputs, LIMITS, None, 640)
    for wanted, pixels in zip(inputs, together.sizes, strict=True):
        (alone,) = decode_inputs(data, [wanted], LIMITS).sizes
        np.testing.assert_array_equal(pixels, alone)
    np.testing.assert_array_equal(together.sizes[0], decode(data, 128, 128, LIMITS).pixels)


def test_what_the_decoder_measures():
    data = images.jpeg(7, 640, 480)
    assert decode(data, 32, 32, LIMITS).measured == {"width": 640, "height": 480, "bytes": len(data)}


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (8, 8), (257, 255)])
def test_a_whole_image_covers_a_crop_and_lies_within_a_letterbox(size):
    for swapped in (False, True):
        whole = whole_size(size, CROP, swapped=swapped)
        assert min(whole) >= 224
        sides = (96, 128) if swapped else (128, 96)
        inside = whole_size(size, LETTERBOX, swapped=swapped)
        assert 1 <= inside[0] <= sides[0]
        assert 1 <= inside[1] <= sides[1]
