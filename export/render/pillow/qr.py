"""QR codes as sellers post them: posters with words and logos, photographs of a code filling the frame."""

from collections.abc import Sequence

import numpy as np
import segno
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from export.render.camera import curl, lay_down, photograph, random_colour, smooth_noise, texture
from export.render.pillow.canvas import (
    Colour,
    draw_lines,
    fitting_size,
    frame,
    ink_for,
    luminance,
    photo_background,
    plain_or_gradient,
    stickers,
)
from export.render.pillow.fonts import FontBook
from export.render.pillow.phrases import PHRASES, random_notice


def random_code(rng: np.random.Generator) -> NDArray[np.bool_]:
    """The modules of a QR code, True where dark, without quiet zone: versions 1 to about 25."""
    length = int(np.exp(rng.uniform(np.log(8), np.log(400))))
    payload = "https://example.com/" + "".join(
        rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789-/?="), length)
    )
    if rng.random() < 0.3:
        payload = payload[20:]
    code = segno.make(payload, error=str(rng.choice(["l", "m", "q", "h"])), micro=False, boost_error=False)
    return np.array([[bool(v) for v in row] for row in code.matrix], dtype=np.bool_)


def _dark_and_light(rng: np.random.Generator) -> tuple[Colour, Colour]:
    if rng.random() < 0.6:
        return (0, 0, 0), (255, 255, 255)
    light = random_colour(rng, 190, 255)
    dark = random_colour(rng, 0, 140)
    if luminance(light) - luminance(dark) < 90:
        dark = (20, 20, 20)
    return (dark, light) if rng.random() < 0.93 else (light, dark)


def _draw_modules(
    rng: np.random.Generator, code: NDArray[np.bool_], scale: int, quiet: int, dark: Colour, light: Colour
) -> Image.Image:
    side = (len(code) + 2 * quiet) * scale
    shape = rng.random()
    if shape < 0.72:  # plain squares, by far the quickest
        modules = np.kron(np.pad(code, quiet), np.ones((scale, scale), dtype=np.bool_))
        inks = np.array([light, dark], dtype=np.uint8)
        return Image.fromarray(inks[modules.astype(np.intp)])
    image = Image.new("RGB", (side, side), light)
    draw = ImageDraw.Draw(image)
    for row, column in np.argwhere(code):
        x, y = (int(column) + quiet) * scale, (int(row) + quiet) * scale
        box = (x, y, x + scale - 1, y + scale - 1)
        finder = (row < 7 and (column < 7 or column >= len(code) - 7)) or (
            row >= len(code) - 7 and column < 7
        )
        if finder and shape < 0.9:
            draw.rectangle(box, fill=dark)
        elif shape < 0.9:
            draw.ellipse(box, fill=dark)
        else:
            draw.rounded_rectangle(box, scale // 3, fill=dark)
    return image


def draw_code(rng: np.random.Generator, side: int) -> Image.Image:
    """A square QR code of about `side` pixels: colours, module shapes, quiet zone and logo vary."""
    code = random_code(rng)
    dark, light = _dark_and_light(rng)
    quiet = int(rng.choice([0, 1, 2, 4, 4]))
    image = _draw_modules(rng, code, max(3, side // (len(code) + 2 * quiet)), quiet, dark, light)
    if rng.random() < 0.15:  # the ink runs through a gradient
        ramp = smooth_noise(rng, *image.size, 2)[..., None]
        tint = np.array(random_colour(rng, 0, 150)) * ramp
        pixels = np.asarray(image, dtype=np.float32)
        ink = pixels.mean(axis=2, keepdims=True) < 128
        image = Image.fromarray(np.where(ink, tint, pixels).astype(np.uint8))
    if rng.random() < 0.3:
        _logo(rng, image, light)
    return image.resize((side, side), Image.Resampling.BILINEAR)


def _logo(rng: np.random.Generator, image: Image.Image, light: Colour) -> None:
    half = int(image.width * rng.uniform(0.06, 0.15))
    centre = image.width // 2
    box = (centre - half, centre - half, centre + half, centre + half)
    draw = ImageDraw.Draw(image)
    draw.rectangle(box, fill=light)
    inner = tuple(v + (4 if i < 2 else -4) for i, v in enumerate(box))
    if inner[2] > inner[0]:
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape(inner, fill=random_colour(rng))


def render_qr_poster(
    rng: np.random.Generator, fonts: FontBook, photos: Sequence[Image.Image] = ()
) -> Image.Image:
    """A poster, card or app screen built round one QR code that takes a tenth of it or more."""
    short = int(rng.integers(320, 640))
    ratio = float(np.exp(rng.uniform(-0.55, 0.55)))
    width, height = (short, int(short * ratio)) if ratio >= 1 else (int(short / ratio), short)
    image, paper = (
        photo_background(rng, width, height, photos)
        if rng.random() < 0.2
        else plain_or_gradient(rng, width, height)
    )
    draw = ImageDraw.Draw(image)
    ink = ink_for(rng, paper)
    if rng.random() < 0.25:
        stickers(rng, draw, width, height)
    side = int(min(width, height) * rng.uniform(0.38, 0.95))
    code = draw_code(rng, side)
    room_x, room_y = width - side, height - side
    x = room_x // 2 if rng.random() < 0.7 else int(rng.uniform(0, 1) * room_x)
    y = int(room_y * (rng.uniform(0.2, 0.9)))
    if rng.random() < 0.4:
        pad = int(side * rng.uniform(0.02, 0.1))
        draw.rounded_rectangle(
            (x - pad, y - pad, x + side + pad, y + side + pad), pad, fill=(255, 255, 255), outline=ink
        )
    image.paste(code, (x, y))
    _poster_words(rng, fonts, draw, (width, height), (x, y, side), ink)
    if rng.random() < 0.3:
        frame(rng, draw, width, height, ink)
    if rng.random() < 0.3:
        ground = texture(rng, width, height)
        image = photograph(
            rng, lay_down(rng, image, ground, float(rng.uniform(0.75, 1.1)), float(rng.uniform(0, 0.08)), 12)
        )
    return image


def _poster_words(
    rng: np.random.Generator, fonts: FontBook, draw: ImageDraw.ImageDraw, size: tuple[int, int],
    code: tuple[int, int, int], ink: Colour,
) -> None:  # fmt: skip
    width, height = size
    _, y, side = code
    japanese = rng.random() < 0.6
    font = fonts.pick(rng, japanese)
    calls = PHRASES.language(japanese).calls
    margin = int(width * 0.05)
    if y > 30 and rng.random() < 0.85:
        call = calls[int(rng.integers(len(calls)))]
        letters = fitting_size(call, font, width - 2 * margin, int(y * 0.6))
        draw_lines(
            draw,
            (margin, max(4, (y - letters) // 2), width - margin, y),
            [call],
            font,
            letters,
            ink,
            "center",
        )
    below = height - y - side
    if below > 30 and rng.random() < 0.75:
        lines = random_notice(rng, japanese, int(rng.integers(1, 4))).lines
        letters = max(9, int(below * rng.uniform(0.12, 0.3)))
        draw_lines(draw, (margin, y + side + 8, width - margin, height), lines, font, letters, ink, "center")


def render_qr_photo(rng: np.random.Generator, photos: Sequence[Image.Image] = ()) -> Image.Image:
    """A photograph in which one printed code takes most of the frame: tilted, bent, lit, out of focus."""
    side = int(rng.integers(300, 520))
    width, height = side, int(side * rng.uniform(0.7, 1.4))
    code = draw_code(rng, 420)
    sheet = _on_paper(rng, code)
    if rng.random() < 0.3:
        sheet = curl(rng, sheet, float(rng.uniform(0.005, 0.035)))
    if photos and rng.random() < 0.3:
        ground = photos[int(rng.integers(len(photos)))].convert("RGB").resize((width, height))
    else:
        ground = texture(rng, width, height)
    turn = 180 if rng.random() < 0.15 else 25
    fill = float(rng.uniform(0.6, 1.45)) if rng.random() < 0.8 else float(rng.uniform(0.4, 0.7))
    laid = lay_down(rng, sheet, ground, fill, float(rng.uniform(0, 0.11)), turn)
    if rng.random() < 0.12:  # a finger at the edge
        radius = int(side * rng.uniform(0.08, 0.2))
        x, y = int(rng.choice([0, width])), int(rng.uniform(0.2, 0.9) * height)
        tone = (int(rng.integers(90, 240)), int(rng.integers(60, 190)), int(rng.integers(50, 160)))
        ImageDraw.Draw(laid).ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)
    seen = photograph(rng, laid)
    return seen.convert("L").convert("RGB") if rng.random() < 0.35 else seen


def _on_paper(rng: np.random.Generator, code: Image.Image) -> Image.Image:
    """The code on a sheet with a margin, some scribbled print beside it, or cut out close."""
    margin = int(code.width * rng.uniform(0.0, 0.3))
    paper = random_colour(rng, 200, 255) if rng.random() < 0.8 else random_colour(rng, 0, 255)
    sheet = Image.new("RGB", (code.width + 2 * margin, code.height + 2 * margin), paper)
    draw = ImageDraw.Draw(sheet)
    if margin > 20 and rng.random() < 0.5:
        for y in range(6, sheet.height, int(rng.integers(10, 22))):
            left = int(rng.uniform(0, 0.3) * margin)
            draw.line([(left, y), (left + int(margin * 0.6), y)], fill=ink_for(rng, paper), width=3)
    sheet.paste(code, (margin, margin))
    return sheet
