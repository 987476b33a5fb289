"""What a camera, a screen and a file format do to an image: perspective, light, blur, noise, JPEG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter


def smooth_noise(rng: np.random.Generator, width: int, height: int, cells: int) -> NDArray[np.float32]:
    """Noise in [0, 1] of shape [height, width] whose spots are about 1/cells of the image wide."""
    grid = rng.random((max(2, cells), max(2, cells)), dtype=np.float32)
    small = Image.fromarray((grid * 255).astype(np.uint8))
    field = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return field / np.float32(255)


def random_colour(rng: np.random.Generator, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    """An RGB colour whose channels lie in [low, high]."""
    red, green, blue = (int(v) for v in rng.integers(low, high + 1, 3))
    return red, green, blue


def texture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A surface to lie on: wood-like stripes, cloth, wall or stone, in one colour family."""
    base = np.array(random_colour(rng, 20, 235), dtype=np.float32)
    field = np.zeros((height, width), dtype=np.float32)
    for cells, weight in ((3, 40.0), (12, 25.0), (60, 20.0)):
        field += (smooth_noise(rng, width, height, cells) - 0.5) * weight * float(rng.random())
    if rng.random() < 0.4:  # boards or stripes
        period = float(rng.uniform(12, 120))
        slant = float(rng.uniform(-0.5, 0.5))
        rows, columns = np.mgrid[0:height, 0:width]
        field += float(rng.uniform(5, 40)) * np.sign(np.sin((columns + slant * rows) * 2 * np.pi / period))
    pixels = base + field[..., None] + rng.normal(0, float(rng.uniform(0, 12)), (height, width, 1))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image.rotate(90, expand=False) if width == height and rng.random() < 0.5 else image


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> list[float]:
    """The eight coefficients with which Pillow's PERSPECTIVE maps `target` corners back to `source`."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    return [float(c) for c in np.linalg.solve(np.array(rows), np.array(values))]


def lay_down(
    rng: np.random.Generator, sheet: Image.Image, ground: Image.Image, fill: float, tilt: float, turn: float
) -> Image.Image:
    """Lay `sheet` on `ground` seen at an angle.

    Args:
        rng: source of the pose.
        sheet: what lies there.
        ground: what it lies on; the result has its size.
        fill: the sheet's share of the ground's sides; over 1 the sheet runs out of the picture.
        tilt: how far each corner may stray, as a share of the sheet's side.
        turn: rotation in degrees, at most, either way.

    """
    width, height = ground.size
    scale = fill * min(width / sheet.width, height / sheet.height)
    half = np.array([sheet.width, sheet.height]) * scale / 2
    angle = np.deg2rad(float(rng.uniform(-turn, turn)))
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    corners = corners + rng.uniform(-tilt, tilt, (4, 2)) * 2 * half
    room = np.abs(np.array([width, height]) / 2 - half)
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room * 0.6
    target = corners @ spin.T + centre
    source = np.array([[0, 0], [sheet.width, 0], [sheet.width, sheet.height], [0, sheet.height]], dtype=float)
    coefficients = _homography(source, target)
    seen = sheet.convert("RGB").transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
    )
    mask = Image.new("L", sheet.size, 255).transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    out = ground.convert("RGB")
    shadow = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 10))))
    dark = ImageEnhance.Brightness(out).enhance(float(rng.uniform(0.4, 0.9)))
    out = Image.composite(dark, out, shadow)
    out.paste(seen, (0, 0), mask)
    return out


def curl(rng: np.random.Generator, image: Image.Image, strength: float) -> Image.Image:
    """Bend a sheet: rows shift along a slow wave, as on a bottle or a curled page."""
    pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = float(rng.uniform(0, 2 * np.pi))
    waves = float(rng.uniform(0.3, 1.0))
    rows = rows + strength * height * np.sin(waves * 2 * np.pi * columns / width + phase)
    columns = columns + strength * width * np.sin(waves * 2 * np.pi * rows / height + phase * 2)
    index = (rows.round().clip(0, height - 1).astype(int), columns.round().clip(0, width - 1).astype(int))
    shade = 1 + 0.25 * np.cos(waves * 2 * np.pi * np.arange(width) / width + phase)
    bent = pixels[index] * shade[None, :, None]
    return Image.fromarray(bent.clip(0, 255).astype(np.uint8))


def light(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Uneven light, a colour cast, sometimes a soft shadow or a glare spot, and the sensor's noise."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    height, width = pixels.shape[:2]
    level = 1 + (smooth_noise(rng, width, height, 2) - 0.5) * float(rng.uniform(0, 1.0))
    cast = 1 + rng.uniform(-0.15, 0.15, 3).astype(np.float32) * float(rng.random())
    pixels = pixels * level[..., None] * cast * float(rng.uniform(0.55, 1.15))
    if rng.random() < 0.25:  # glare
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y, radius = (
            rng.uniform(0, width),
            rng.uniform(0, height),
            rng.uniform(0.08, 0.35) * min(width, height),
        )
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
        pixels = pixels + spot[..., None] * float(rng.uniform(60, 230))
    contrast, lift = float(rng.uniform(0.6, 1.1)), float(rng.uniform(0, 45)) * float(rng.random())
    pixels = pixels * contrast + lift + rng.normal(0, float(rng.uniform(0, 9)), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def photograph(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Light, focus and sensor of a phone; one in six comes out grey."""
    seen = light(rng, image)
    if rng.random() < 0.6:
        seen = seen.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.004)) * max(seen.size)))
    if rng.random() < 0.15:
        seen = seen.convert("L").convert("RGB")
    return seen


def to_bytes(rng: np.random.Generator, image: Image.Image) -> bytes:
    """The upload: a JPEG of some quality, sometimes a PNG, WebP or a picture saved smaller first."""
    if rng.random() < 0.3:
        side = int(rng.integers(180, 400))
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.BILINEAR)
    kind = rng.random()
    out = io.BytesIO()
    rgb = image.convert("RGB")
    if kind < 0.12:
        rgb.save(out, "PNG", compress_level=1)
    elif kind < 0.2:
        rgb.save(out, "WEBP", quality=int(rng.integers(40, 95)), method=0)
    else:
        rgb.save(out, "JPEG", quality=int(rng.integers(35, 96)))
    return out.getvalue()
