"""Drawing text blocks with Pillow: palettes, backgrounds, wrapped lines, vertical columns, tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from export.render.camera import random_colour, smooth_noise, texture
from export.render.pillow.fonts import load_font
from export.render.pillow.patterns import pattern
from export.render.pillow.phrases import Table

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]


def luminance(colour: Sequence[int]) -> float:
    """Perceived brightness of an RGB colour, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def ink_for(rng: np.random.Generator, paper: Sequence[int]) -> Colour:
    """A text colour that can be read on `paper`, faint at times."""
    wanted = float(rng.uniform(75, 150))
    for _ in range(20):
        colour = random_colour(rng)
        if abs(luminance(colour) - luminance(paper)) > wanted:
            return colour
    return (10, 10, 10) if luminance(paper) > 127 else (250, 250, 250)


def plain_or_gradient(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, Colour]:
    """A paper and its mean colour: white, pastel, dark, a gradient or a pattern."""
    kind = rng.random()
    if kind < 0.3:
        paper = (255, 255, 255) if rng.random() < 0.6 else random_colour(rng, 225, 255)
        return Image.new("RGB", (width, height), paper), paper
    if kind < 0.6:
        paper = random_colour(rng, 0, 255) if rng.random() < 0.5 else random_colour(rng, 190, 255)
        return Image.new("RGB", (width, height), paper), paper
    first, second = np.array(random_colour(rng), float), np.array(random_colour(rng), float)
    if kind < 0.75:
        rows, columns = np.mgrid[0:height, 0:width]
        angle = float(rng.uniform(0, 2 * np.pi))
        ramp = np.cos(angle) * columns / width + np.sin(angle) * rows / height
        if rng.random() < 0.3:
            ramp = np.hypot(columns / width - 0.5, rows / height - 0.5)
        ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
    else:
        ramp = pattern(rng, width, height)
        # Mostly faint, at times as loud as a poster's.
        second = first + (second - first) * float(
            rng.uniform(0.05, 0.3) if rng.random() < 0.5 else rng.random()
        )
    pixels = first + (second - first) * ramp[..., None]
    mean = pixels.mean(axis=(0, 1))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image, (int(mean[0]), int(mean[1]), int(mean[2]))


def photo_background(
    rng: np.random.Generator, width: int, height: int, photos: Sequence[Image.Image]
) -> tuple[Image.Image, Colour]:
    """A photo (or a texture where there is none), blurred, dimmed or bleached so that text stands on it.

    Blurred beyond recognition: a garment that can still be made out makes a product with a caption.
    """
    if photos and rng.random() < 0.8:
        image = photos[int(rng.integers(len(photos)))].convert("RGB").resize((width, height))
    else:
        image = texture(rng, width, height)
    image = image.filter(ImageFilter.GaussianBlur(width * float(rng.uniform(0.025, 0.06))))
    veil = random_colour(rng, 0, 60) if rng.random() < 0.5 else random_colour(rng, 200, 255)
    image = Image.blend(image, Image.new("RGB", (width, height), veil), float(rng.uniform(0.2, 0.75)))
    mean = np.asarray(image).mean(axis=(0, 1))
    return image, (int(mean[0]), int(mean[1]), int(mean[2]))


def paper_sheet(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, Colour]:
    """Note paper: ruled, squared, kraft or blank, with fibres."""
    paper = random_colour(rng, 215, 255) if rng.random() < 0.8 else (196, 160, 116)
    pixels = np.array(paper) + (smooth_noise(rng, width, height, 40)[..., None] - 0.5) * 12
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    rule = int(rng.integers(18, 40))
    tone = tuple(int(c * 0.82) for c in paper)
    if rng.random() < 0.5:
        for y in range(rule, height, rule):
            draw.line([(0, y), (width, y)], fill=tone)
    if rng.random() < 0.2:
        for x in range(rule, width, rule):
            draw.line([(x, 0), (x, height)], fill=tone)
    return ImageEnhance.Color(image).enhance(0.8), paper


def wrap(text: str, font_path: Path, size: int, width: int) -> list[str]:
    """Break `text` so that every line fits `width` pixels: at spaces in English, anywhere in Japanese."""
    font = load_font(font_path, size)
    units = list(text) if any(ord(c) > 0x2E80 for c in text) else [w + " " for w in text.split(" ")]
    lines, line = [], ""
    for unit in units:
        if line and font.getlength(line + unit) > width:
            lines.append(line.rstrip())
            line = ""
        line += unit
    return [*lines, line.rstrip()] if line.strip() else lines


def fitting_size(text: str, font_path: Path, width: int, largest: int) -> int:
    """The largest size at which `text` is at most `width` pixels wide, and at least 8."""
    length = load_font(font_path, 40).getlength(text) or 1.0
    return max(8, min(largest, int(40 * width / length)))


def draw_lines(
    draw: ImageDraw.ImageDraw, box: Box, lines: Sequence[str], font_path: Path, size: int, ink: Colour,
    align: str = "left", leading: float = 1.4, outline: Colour | None = None,
) -> int:  # fmt: skip
    """Draw wrapped lines into `box` until it is full; gives the y under the last line."""
    left, top, right, bottom = box
    font = load_font(font_path, size)
    y = top
    for text in lines:
        for line in wrap(text, font_path, size, right - left):
            if y + size > bottom:
                return y
            slack = right - left - font.getlength(line)
            x = left + (0 if align == "left" else slack / 2 if align == "center" else slack)
            stroke = max(1, size // 14) if outline else 0
            draw.text((x, y), line, font=font, fill=ink, stroke_width=stroke, stroke_fill=outline)
            y += int(size * leading)
    return y


def draw_vertical(
    draw: ImageDraw.ImageDraw, box: Box, lines: Sequence[str], font_path: Path, size: int, ink: Colour
) -> None:
    """Draw lines as columns from right to left, as Japanese is written on posters."""
    left, top, right, bottom = box
    font = load_font(font_path, size)
    x, step = right - size, int(size * 1.1)
    for text in lines:
        y = top
        for character in text:
            if y + size > bottom:
                x, y = x - int(size * 1.5), top
            if x < left:
                return
            draw.text((x, y), character, font=font, fill=ink)
            y += step
        x -= int(size * 1.7)


def draw_table(
    draw: ImageDraw.ImageDraw, box: Box, table: Table, font_path: Path, ink: Colour, head: Colour | None
) -> None:
    """Draw a table with or without lines, its header row filled with `head`."""
    left, top, right, bottom = box
    rows, columns = len(table), len(table[0])
    row_height, column_width = (bottom - top) // rows, (right - left) // columns
    size = max(9, min(row_height * 6 // 10, column_width // 4))
    font = load_font(font_path, size)
    if head is not None:
        draw.rectangle((left, top, left + columns * column_width, top + row_height), fill=head)
    for r, row in enumerate(table):
        for c, text in enumerate(row):
            cell = (left + c * column_width, top + r * row_height)
            head_ink = ink if head is None or r else ((255, 255, 255) if luminance(head) < 140 else (0, 0, 0))
            draw.text((cell[0] + 4, cell[1] + (row_height - size) // 2), text, font=font, fill=head_ink)
            draw.rectangle((*cell, cell[0] + column_width, cell[1] + row_height), outline=ink)


def frame(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int, ink: Colour) -> None:
    """A border: single, double, round-cornered or thick."""
    inset = int(rng.integers(4, max(6, min(width, height) // 14)))
    line = int(rng.integers(1, 12))
    box = (inset, inset, width - inset, height - inset)
    radius = int(rng.integers(0, 40)) if rng.random() < 0.5 else 0
    draw.rounded_rectangle(box, radius, outline=ink, width=line)
    if rng.random() < 0.35:
        gap = line + int(rng.integers(3, 10))
        draw.rounded_rectangle(
            (box[0] + gap, box[1] + gap, box[2] - gap, box[3] - gap), radius, outline=ink, width=1
        )


def stickers(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """A few round, square or bursting shapes at the edges, as shop graphics have."""
    for _ in range(int(rng.integers(1, 6))):
        x = int(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)]) * width)
        y = int(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)]) * height)
        radius = int(rng.uniform(0.03, 0.12) * min(width, height))
        colour = random_colour(rng)
        if rng.random() < 0.5:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            spikes = int(rng.integers(5, 16))
            turns = np.arange(2 * spikes) * np.pi / spikes
            radii = np.where(np.arange(2 * spikes) % 2, 1.0, 0.7) * radius
            points = [(x + r * np.cos(t), y + r * np.sin(t)) for t, r in zip(turns, radii, strict=True)]
            draw.polygon(points, fill=colour)
