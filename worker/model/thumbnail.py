"""A small JPEG of an image, made of decoded pixels alone: nothing of a stranger's file is in it."""

import io
from collections.abc import Callable

from PIL import Image

from schemas.bundle import ImageInput
from worker.model.decode import DecodedImage, ImageLimits, decode_inputs

SIDE = 256
_QUALITY = 80


def thumbnail(
    data: bytes,
    limits: ImageLimits,
    decode: Callable[..., DecodedImage] = decode_inputs,
    side: int = SIDE,
) -> bytes:
    """The image whole, upright and in its aspect ratio, of at most `side` pixels.

    Raises:
        Rejection: `data` is no image that can be shown.

    """
    decoded = decode(data, [ImageInput(height=side, width=side, resize="letterbox")], limits)
    width, height = decoded.original_width, decoded.original_height
    longest = max(width, height)
    box = (max(1, round(side * width / longest)), max(1, round(side * height / longest)))
    left, top = (side - box[0]) // 2, (side - box[1]) // 2
    picture = Image.fromarray(decoded.pixels).crop((left, top, left + box[0], top + box[1]))
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=_QUALITY)
    return packed.getvalue()
