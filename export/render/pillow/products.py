"""Products that look like notices at first sight: photos with print, captions, frames, plain backgrounds.

They keep the label of the photo that they are made of; the trunk learns from them that text on a
product, a border round it or a white wall behind it does not make a notice.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from export.render.camera import random_colour
from export.render.pillow.canvas import draw_lines, fitting_size, plain_or_gradient
from export.render.pillow.fonts import FontBook, load_font
from export.render.pillow.phrases import PHRASES, random_notice
from export.render.pillow.qr import draw_code


def _print_graphic(rng: np.random.Generator, fonts: FontBook, side: int) -> tuple[Image.Image, Image.Image]:
    """Words and shapes as on a printed shirt or carton, and the mask of their ink."""
    graphic = Image.new("RGB", (side, side))
    mask = Image.new("L", (side, side), 0)
    draw, mask_draw = ImageDraw.Draw(graphic), ImageDraw.Draw(mask)
    ink = random_colour(rng)
    draw.rectangle((0, 0, side, side), fill=ink)
    if rng.random() < 0.5:
        points = [
            tuple(float(v) for v in rng.uniform(0.1 * side, 0.9 * side, 2))
            for _ in range(int(rng.integers(3, 9)))
        ]
        draw.polygon(points, fill=random_colour(rng))
        mask_draw.polygon(points, fill=230)
    y = int(side * rng.uniform(0.05, 0.5))
    for _ in range(int(rng.integers(1, 5))):
        word = PHRASES.slogans[int(rng.integers(len(PHRASES.slogans)))]
        font = fonts.pick(rng, any(ord(c) > 0x2E80 for c in word))
        size = fitting_size(word, font, int(side * rng.uniform(0.4, 1)), int(side * 0.35))
        box = (0, y, side, side)
        draw_lines(draw, box, [word], font, size, random_colour(rng), "center")
        y = draw_lines(mask_draw, box, [word], font, size, 240, "center", 1.1)  # type: ignore[arg-type]
    return graphic, mask


def _shaded(ink: Image.Image, under: Image.Image) -> Image.Image:
    """Ink as it looks in the folds and shadows of what it is printed on."""
    shade = under.convert("L").filter(ImageFilter.GaussianBlur(2)).point(lambda v: min(255, 90 + v))
    return ImageChops.multiply(ink, Image.merge("RGB", (shade,) * 3))


def with_print(rng: np.random.Generator, fonts: FontBook, photo: Image.Image) -> Image.Image:
    """The photo with a printed graphic over its middle, shaded by the cloth or carton under it."""
    out = photo.convert("RGB")
    side = int(min(out.size) * rng.uniform(0.2, 0.5))
    graphic, mask = _print_graphic(rng, fonts, 160)
    turn = float(rng.uniform(-25, 25))
    graphic = graphic.resize((side, side)).rotate(turn, Image.Resampling.BILINEAR)
    mask = mask.resize((side, side)).rotate(turn, Image.Resampling.BILINEAR)
    x = int((out.width - side) * rng.uniform(0.3, 0.7))
    y = int((out.height - side) * rng.uniform(0.25, 0.65))
    under = out.crop((x, y, x + side, y + side))
    out.paste(Image.composite(_shaded(graphic, under), under, mask), (x, y))
    return out


def _motifs(rng: np.random.Generator, fonts: FontBook, side: int) -> tuple[Image.Image, Image.Image]:
    """A tile of a few small shapes and words, and the mask of their ink."""
    tile, mask = Image.new("RGB", (side, side)), Image.new("L", (side, side), 0)
    draw, mask_draw = ImageDraw.Draw(tile), ImageDraw.Draw(mask)
    inks = [random_colour(rng) for _ in range(int(rng.integers(1, 4)))]
    for _ in range(int(rng.integers(1, 6))):
        ink = inks[int(rng.integers(len(inks)))]
        x, y = (float(v) for v in rng.uniform(0, 0.8 * side, 2))
        extent, kind = float(rng.uniform(0.1, 0.45)) * side, rng.random()
        if kind < 0.35:
            box = (x, y, x + extent, y + extent * float(rng.uniform(0.4, 1.6)))
            draw.ellipse(box, fill=ink)
            mask_draw.ellipse(box, fill=240)
        elif kind < 0.7:
            points = [(x + float(a) * extent, y + float(b) * extent) for a, b in rng.random((5, 2))]
            draw.polygon(points, fill=ink)
            mask_draw.polygon(points, fill=240)
        else:
            word = PHRASES.slogans[int(rng.integers(len(PHRASES.slogans)))]
            font = load_font(fonts.pick(rng, any(ord(c) > 0x2E80 for c in word)), max(6, int(extent * 0.7)))
            draw.text((x, y), word, fill=ink, font=font)
            mask_draw.text((x, y), word, fill=240, font=font)
    return tile, mask


def with_all_over_print(rng: np.random.Generator, fonts: FontBook, photo: Image.Image) -> Image.Image:
    """The photo with small motifs repeated over the cloth in its middle, shaded as it is."""
    out = photo.convert("RGB")
    tile, tile_mask = _motifs(rng, fonts, int(min(out.size) * rng.uniform(0.1, 0.35)))
    cloth, mask = Image.new("RGB", out.size), Image.new("L", out.size, 0)
    step = int(tile.width * rng.uniform(0.9, 1.4))
    for row, y in enumerate(range(0, out.height, step)):
        for x in range(-(row % 2) * step // 2, out.width, step):
            cloth.paste(tile, (x, y))
            mask.paste(tile_mask, (x, y))
    turn = float(rng.uniform(-30, 30))
    cloth, mask = (layer.rotate(turn, Image.Resampling.BILINEAR) for layer in (cloth, mask))
    covered = Image.new("L", out.size, 0)
    dx, dy = (float(v) for v in rng.uniform(0.05, 0.28, 2))
    box = (out.width * dx, out.height * dy, out.width * (1 - dx), out.height * (1 - dy))
    ImageDraw.Draw(covered).rounded_rectangle(box, radius=out.width // 6, fill=255)
    covered = covered.filter(ImageFilter.GaussianBlur(out.width / 40))
    return Image.composite(_shaded(cloth, out), out, ImageChops.multiply(mask, covered))


def with_caption(rng: np.random.Generator, fonts: FontBook, photo: Image.Image) -> Image.Image:
    """The photo with a shop's small caption or watermark at an edge."""
    out = photo.convert("RGB")
    draw = ImageDraw.Draw(out)
    japanese = rng.random() < 0.5
    title = random_notice(rng, japanese, 1).title
    font = fonts.pick(rng, japanese)
    size = fitting_size(title, font, int(out.width * rng.uniform(0.25, 0.8)), int(out.height * 0.09))
    y = int(out.height * (rng.uniform(0.01, 0.06) if rng.random() < 0.5 else rng.uniform(0.84, 0.9)))
    if rng.random() < 0.5:
        draw.rectangle((0, y - 2, out.width, y + int(size * 1.3)), fill=random_colour(rng))
    draw_lines(
        draw, (4, y, out.width - 4, out.height), [title], font, size, random_colour(rng), "center", 1.2
    )
    return out


def with_frame(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """The photo inside a plain border, as listing templates have."""
    photo = photo.convert("RGB")
    width, height = int(photo.width * rng.uniform(1.05, 1.7)), int(photo.height * rng.uniform(1.05, 1.7))
    ground, _ = plain_or_gradient(rng, width, height)
    ground.paste(
        photo, (int((width - photo.width) * rng.random()), int((height - photo.height) * rng.random()))
    )
    return ground


def cut_out(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """A part of the photo in the outline of a garment, box or bottle on a plain ground, with a shadow."""
    photo = photo.convert("RGB")
    width, height = photo.size
    mask = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(mask)
    middle, kind = width / 2, rng.random()
    if kind < 0.4:  # shirt
        points = [(0.3, 0.12), (0.7, 0.12), (0.95, 0.35), (0.83, 0.48), (0.74, 0.38), (0.74, 0.92),
                  (0.26, 0.92),                  (0.26, 0.38), (0.17, 0.48), (0.05, 0.35)]  # fmt: skip
    elif kind < 0.65:  # trousers
        points = [
            (0.33, 0.06),
            (0.67, 0.06),
            (0.76, 0.95),
            (0.56, 0.95),
            (0.5, 0.4),
            (0.44, 0.95),
            (0.24, 0.95),
        ]
    elif kind < 0.85:  # carton
        points = [(0.3, 0.15), (0.6, 0.1), (0.74, 0.18), (0.74, 0.85), (0.45, 0.95), (0.3, 0.86)]
    else:
        points = []
        draw.ellipse((width * 0.15, height * 0.15, width * 0.85, height * 0.85), fill=255)
    if points:
        noise = rng.normal(0, 0.02, (len(points), 2))
        draw.polygon(
            [((x + a) * width, (y + b) * height) for (x, y), (a, b) in zip(points, noise, strict=True)],
            fill=255,
        )
    mask = mask.rotate(float(rng.uniform(-20, 20)), center=(middle, height / 2)).filter(
        ImageFilter.GaussianBlur(1)
    )
    ground = Image.new("RGB", photo.size, (255, 255, 255))
    if rng.random() < 0.6:
        ground, _ = plain_or_gradient(rng, width, height)
    shadow = ImageChops.offset(mask, 4, 6).filter(ImageFilter.GaussianBlur(6)).point(lambda v: v // 3)
    ground.paste((0, 0, 0), (0, 0), shadow)
    ground.paste(photo, (0, 0), mask)
    return ground


def with_small_code(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """The photo with a small QR code on it, as on a package or a hang tag: still a product."""
    out = photo.convert("RGB")
    side = int(min(out.size) * rng.uniform(0.08, 0.2))
    code = draw_code(rng, side)
    out.paste(code, (int((out.width - side) * rng.random()), int((out.height - side) * rng.random())))
    return out


def close_up(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """A part of the photo that shows cloth, a label or a corner: what sellers add as a detail."""
    photo = photo.convert("RGB")
    share = float(rng.uniform(0.3, 0.75))
    width, height = int(photo.width * share), int(photo.height * share)
    x, y = int((photo.width - width) * rng.random()), int((photo.height - height) * rng.random())
    return photo.crop((x, y, x + width, y + height))


def faded(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """The photo as a pale or dark garment in bad light gives it: little contrast left."""
    photo = photo.convert("RGB")
    veil = random_colour(rng, 190, 255) if rng.random() < 0.6 else random_colour(rng, 0, 60)
    return Image.blend(photo, Image.new("RGB", photo.size, veil), float(rng.uniform(0.25, 0.65)))


def with_details(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """The photo beside one to three close-ups of itself, as collage apps lay them out."""
    photo = photo.convert("RGB")
    columns, rows = ((2, 1), (1, 2), (2, 2))[int(rng.integers(3))]
    gap = int(photo.width * rng.uniform(0, 0.04))
    cell = (photo.width // columns, photo.height // rows)
    out = Image.new("RGB", (cell[0] * columns + gap, cell[1] * rows + gap), random_colour(rng, 200, 255))
    for i in range(columns * rows):
        part = photo if i == 0 else close_up(rng, photo)
        place = (i % columns * (cell[0] + gap), i // columns * (cell[1] + gap))
        out.paste(ImageOps.fit(part, cell), place)
    return out


def render_hard_product(
    rng: np.random.Generator, fonts: FontBook, photos: Sequence[Image.Image], index: int
) -> Image.Image:
    """One of the changes above, or two or three, to `photos[index]`."""
    photo = photos[index]
    if rng.random() < 0.2:
        photo = close_up(rng, photo)
    if rng.random() < 0.2:
        photo = with_all_over_print(rng, fonts, photo)
    kind = rng.random()
    if kind < 0.3:
        image = with_print(rng, fonts, photo)
    elif kind < 0.4:
        image = with_caption(rng, fonts, photo)
    elif kind < 0.5:
        image = with_frame(rng, photo)
    elif kind < 0.65:
        image = cut_out(rng, with_print(rng, fonts, photo) if rng.random() < 0.4 else photo)
    elif kind < 0.72:
        image = with_small_code(rng, photo)
    elif kind < 0.78:
        image = with_details(rng, photo)
    elif kind < 0.82:
        image = close_up(rng, photo)
    else:
        image = with_all_over_print(rng, fonts, photo)
    return faded(rng, image) if rng.random() < 0.2 else image
