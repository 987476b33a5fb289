"""Fit: a decoded image to the pixels of one graph input, as its resize mode says."""

from collections.abc import Callable

from PIL import Image

from schemas.bundle import ImageInput
from worker.model.colour import Transform

# Before the last, smooth step an image is averaged down to this many times the target's sides.
REDUCING_GAP = 2.0
_ROUNDING = 1e-6
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def whole_size(size: tuple[int, int], wanted: ImageInput, *, swapped: bool) -> tuple[int, int]:
    """Width and height that the whole image of `size` is resized to, before it is cropped or padded.

    Args:
        size: width and height as stored.
        wanted: the input.
        swapped: the image is turned by a quarter afterwards, so that the input's sides count the other way.

    """
    width, height = _sides(wanted, swapped)
    if wanted.resize == "stretch":
        return width, height
    shares = width / size[0], height / size[1]
    share = max(shares) / wanted.crop_share if wanted.resize == "crop" else min(shares)
    if wanted.resize == "crop":
        # The longer side is cut off, not rounded, as torchvision does: a pixel shifts the whole crop.
        return max(width, int(size[0] * share + _ROUNDING)), max(height, int(size[1] * share + _ROUNDING))
    whole = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    return min(width, whole[0]), min(height, whole[1])


def least_scale(size: tuple[int, int], wanted: ImageInput, *, swapped: bool) -> tuple[int, int]:
    """Width and height that a JPEG must have when it is decoded at a smaller scale for this input.

    `stretch` takes the smallest scale that is not under its sides: libjpeg averages over the blocks that it
    leaves out, and training saw the same. Where a library's own preprocessing is to be met within half a
    grey level, it takes a half more.
    """
    times = 1.0 if wanted.resize == "stretch" else 1.5
    width, height = whole_size(size, wanted, swapped=swapped)
    return round(times * width), round(times * height)


def fit(
    to_rgb: Callable[[tuple[int, int]], tuple[Image.Image, Transform | None]],
    wanted: ImageInput,
    size: tuple[int, int],
    *,
    swapped: bool,
) -> Image.Image:
    """RGB of the input's sides, not turned yet; `size` is the original's, whatever scale it was decoded at.

    `to_rgb` gives opaque pixels, which it may have reduced, to no less than the size that it is given, and
    what makes them sRGB once they are small.
    """
    whole = whole_size(size, wanted, swapped=swapped)
    pixels, transform = to_rgb(whole)
    rgb = pixels.resize(whole, _FILTERS[wanted.filter], reducing_gap=REDUCING_GAP)
    if transform is not None:
        rgb = transform(rgb)
    width, height = _sides(wanted, swapped)
    if wanted.resize == "crop":
        # As torchvision's CenterCrop rounds.
        left, top = round((whole[0] - width) / 2), round((whole[1] - height) / 2)
        return rgb.crop((left, top, left + width, top + height))
    if wanted.resize == "letterbox":
        padded = Image.new("RGB", (width, height), (wanted.fill,) * 3)
        padded.paste(rgb, ((width - whole[0]) // 2, (height - whole[1]) // 2))
        return padded
    return rgb


def _sides(wanted: ImageInput, swapped: bool) -> tuple[int, int]:
    return (wanted.height, wanted.width) if swapped else (wanted.width, wanted.height)
