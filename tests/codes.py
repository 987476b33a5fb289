"""Codes and images with codes in them, drawn; the library that reads them writes them too."""

import zxingcpp
from PIL import Image

from tests import images


def drawn(content: str | bytes, format: str = "QRCode", module: int = 4) -> Image.Image:  # noqa: A002
    """A code with its quiet zone, `module` pixels each of its modules. L."""
    barcode = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format))
    return Image.fromarray(barcode.to_image(scale=module, add_quiet_zones=True)).convert("L")


def poster(content: str | bytes, side: int = 480) -> Image.Image:
    """An image that is hardly anything but a code. RGB."""
    code = drawn(content, module=side // drawn(content, module=1).width)
    page = Image.new("RGB", (side, side), "white")
    page.paste(code, ((side - code.width) // 2, (side - code.height) // 2))
    return page


def scene(*placed: tuple[Image.Image, tuple[int, int], float], seed: int = 7) -> Image.Image:
    """A product's photo, 640 x 480, with codes at places (left, top), each turned by an angle in degrees."""
    photo = images.photo(seed, 640, 480)
    for code, place, angle in placed:
        turned = code.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        whole = Image.new("L", code.size, 255).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        photo.paste(turned.convert("RGB"), place, whole)
    return photo
