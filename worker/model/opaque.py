"""Opaque: a decoded picture of any mode to opaque pixels, and what makes them sRGB."""

import numpy as np
from PIL import Image

from worker.model.colour import Colours, Transform
from worker.model.fit import REDUCING_GAP


def to_opaque(
    image: Image.Image, target: tuple[int, int], colours: Colours
) -> tuple[Image.Image, Transform | None]:
    """Opaque pixels, and what makes them sRGB once they are small: until then they keep their mode."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        over = image if image.mode == "RGBA" else image.convert("RGBA")
        # As resize() does first with other images: laid over white at full size it would take 1 GB.
        over = over.reduce(
            (
                int(over.width / target[0] / REDUCING_GAP) or 1,
                int(over.height / target[1] / REDUCING_GAP) or 1,
            )
        )
        over = _with_alpha_in_srgb(over, colours)
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB"), None
    if image.mode in {"L", "CMYK"} and (transform := colours.transform(image.mode)) is not None:
        return image, transform
    # convert() would copy what is RGB already.
    return image if image.mode == "RGB" else image.convert("RGB"), colours.transform("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """L, or LA where a value is transparent, of 16-bit grey, which convert() would clip at 255."""
    values = np.asarray(image)
    grey = Image.fromarray((values // 257).clip(0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _with_alpha_in_srgb(over: Image.Image, colours: Colours) -> Image.Image:
    if (transform := colours.transform("RGBA")) is not None:
        turned = transform(over)
    elif (transform := colours.transform("L")) is not None:
        turned = transform(over.getchannel("R"))
    else:
        return over
    turned.putalpha(over.getchannel("A"))
    return turned
