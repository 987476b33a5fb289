"""Shop notices drawn with Pillow: the renderer that the filter is trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from export.render.camera import lay_down, photograph, random_colour, texture
from export.render.pillow.canvas import (
    Colour,
    draw_lines,
    draw_table,
    draw_vertical,
    fitting_size,
    frame,
    ink_for,
    paper_sheet,
    photo_background,
    plain_or_gradient,
    stickers,
)
from export.render.pillow.fonts import FontBook, load_font
from export.render.pillow.phrases import PHRASES, NoticeText, random_notice, random_table


@dataclass(frozen=True)
class Sheet:
    """A page to draw on: its background is there, its words are not."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    paper: Colour
    ink: Colour

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size


def _sheet(image: Image.Image, paper: Colour, rng: np.random.Generator) -> Sheet:
    return Sheet(image, ImageDraw.Draw(image), paper, ink_for(rng, paper))


def _card(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """Title over lines of body, a table at times: the common notice."""
    width, height = page.size
    hand = rng.random() < 0.12
    title_font = fonts.pick(rng, text.japanese, hand)
    body_font = title_font if rng.random() < 0.5 else fonts.pick(rng, text.japanese, hand)
    margin = int(rng.uniform(0.04, 0.14) * width)
    align = str(rng.choice(["left", "center", "center"]))
    size = fitting_size(text.title, title_font, width - 2 * margin, int(height * rng.uniform(0.07, 0.2)))
    top = int(height * rng.uniform(0.05, 0.25))
    title_ink = page.ink if rng.random() < 0.5 else ink_for(rng, page.paper)
    y = draw_lines(
        page.draw, (margin, top, width - margin, height), [text.title], title_font, size, title_ink, align
    )
    if rng.random() < 0.3:
        page.draw.line([(margin, y), (width - margin, y)], fill=page.ink, width=int(rng.integers(1, 5)))
    y += int(height * rng.uniform(0.01, 0.08))
    if text.table is not None and height - y > 80:
        head = random_colour(rng) if rng.random() < 0.6 else None
        low = min(height - margin, y + max(60, int((height - y) * rng.uniform(0.5, 0.95))))
        draw_table(page.draw, (margin, y, width - margin, low), text.table, body_font, page.ink, head)
        y = low + 8
    body_size = max(9, int(height * rng.uniform(0.025, 0.07)))
    leading = float(rng.uniform(1.15, 1.9))
    box = (margin, y, width - margin, height - margin // 2)
    draw_lines(page.draw, box, text.lines, body_font, body_size, page.ink, align, leading)


def _shout(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """A few very large words: SALE, 休業, 50 % OFF."""
    width, height = page.size
    font = fonts.pick(rng, text.japanese)
    words = [text.title] if rng.random() < 0.7 else text.title.split(" ")
    y = int(height * rng.uniform(0.08, 0.45))
    outline = ink_for(rng, page.ink) if rng.random() < 0.3 else None
    for word in words:
        size = fitting_size(word, font, int(width * rng.uniform(0.6, 0.95)), int(height * 0.45))
        y = draw_lines(page.draw, (int(width * 0.03), y, width, height), [word], font, size, page.ink,
                       str(rng.choice(["left", "center"])), 1.15, outline)  # fmt: skip
    small = max(10, int(height * rng.uniform(0.03, 0.07)))
    lines = text.lines[: int(rng.integers(0, 4))]
    draw_lines(
        page.draw,
        (int(width * 0.06), y + 8, int(width * 0.94), height),
        lines,
        font,
        small,
        page.ink,
        "center",
    )


def _vertical(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """Columns of Japanese from right to left."""
    width, height = page.size
    font = fonts.pick(rng, True, rng.random() < 0.35)
    size = max(14, int(height * rng.uniform(0.05, 0.13)))
    margin = int(width * rng.uniform(0.05, 0.15))
    lines = [text.title, *text.lines[: int(rng.integers(0, 6))]]
    draw_vertical(page.draw, (margin, margin, width - margin, height - margin), lines, font, size, page.ink)


def _dense(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """A wall of small text: terms, disclaimers, a notes app."""
    width, height = page.size
    font = fonts.pick(rng, text.japanese)
    size = max(8, int(height * rng.uniform(0.018, 0.04)))
    margin = int(width * rng.uniform(0.03, 0.1))
    lines = [text.title, *text.lines, *text.lines[::-1], *text.lines]
    mark = str(rng.choice(["", "・", "- ", "■", "※"]))
    box = (margin, int(height * rng.uniform(0.03, 0.15)), width - margin, height - margin)
    draw_lines(
        page.draw,
        box,
        [mark + line for line in lines],
        font,
        size,
        page.ink,
        "left",
        float(rng.uniform(1.2, 1.8)),
    )


def _chat(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """A screenshot of messages: bubbles left and right under a bar."""
    width, height = page.size
    font = fonts.pick(rng, text.japanese)
    bar = int(height * rng.uniform(0.05, 0.1))
    tone = random_colour(rng)
    page.draw.rectangle((0, 0, width, bar), fill=tone)
    size = max(10, int(height * rng.uniform(0.022, 0.04)))
    page.draw.text((12, bar // 3), text.title[:14], font=load_font(font, size), fill=ink_for(rng, tone))
    mine, theirs = random_colour(rng, 120, 255), (255, 255, 255)
    y = bar + 12
    for line in text.lines:
        own = rng.random() < 0.4
        bubble_width = int(width * rng.uniform(0.45, 0.75))
        x = width - bubble_width - 12 if own else 12 + size * 2
        rows = max(1, int(load_font(font, size).getlength(line) / (bubble_width - 20)) + 1)
        bottom = y + int(rows * size * 1.3) + 16
        if bottom > height:
            return
        page.draw.rounded_rectangle((x, y, x + bubble_width, bottom), 12, fill=mine if own else theirs)
        box = (x + 10, y + 8, x + bubble_width - 8, bottom)
        draw_lines(page.draw, box, [line], font, size, (20, 20, 20), "left", 1.3)
        if not own:
            page.draw.ellipse((8, y, 8 + size * 1.6, y + size * 1.6), fill=random_colour(rng))
        y = bottom + int(rng.integers(6, 24))


def _blocks(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """Coloured bands or panels, each with its own words: banners and step guides."""
    width, height = page.size
    font = fonts.pick(rng, text.japanese)
    parts = [text.title, *text.lines[: int(rng.integers(1, 6))]]
    edges = np.linspace(0, height, len(parts) + 1).astype(int)
    gap = int(rng.integers(0, 16))
    for part, top, low in zip(parts, edges[:-1], edges[1:], strict=True):
        colour = random_colour(rng) if rng.random() < 0.7 else page.paper
        box = (gap, int(top) + gap, width - gap, int(low) - gap // 2)
        if box[3] - box[1] < 16:
            continue
        page.draw.rounded_rectangle(box, int(rng.integers(0, 25)), fill=colour)
        size = max(9, min(int((low - top) * 0.5), fitting_size(part, font, width - 2 * gap - 24, 200)))
        inner = (gap + 12, int((top + low - size) / 2), width - gap - 12, height)
        draw_lines(page.draw, inner, [part], font, size, ink_for(rng, colour), "center")


def _calendar(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """A month with closed days marked."""
    width, height = page.size
    font = fonts.pick(rng, text.japanese)
    week = list(PHRASES.language(text.japanese).week)
    start = int(rng.integers(7))
    days = [""] * start + [str(d) for d in range(1, 31)]
    days += [""] * (-len(days) % 7)
    table = [week, *[days[i : i + 7] for i in range(0, len(days), 7)]]
    title = f"{int(rng.integers(1, 13))}月 {text.title}" if text.japanese else text.title
    size = fitting_size(title, font, int(width * 0.9), int(height * 0.1))
    y = draw_lines(
        page.draw, (int(width * 0.05), int(height * 0.04), width, height), [title], font, size, page.ink
    )
    box = (int(width * 0.05), y + 10, int(width * 0.95), int(height * rng.uniform(0.7, 0.97)))
    for _ in range(int(rng.integers(1, 6))):
        column, row = int(rng.integers(7)), int(rng.integers(1, len(table)))
        cell_width, cell_height = (box[2] - box[0]) // 7, (box[3] - box[1]) // len(table)
        left, top = box[0] + column * cell_width, box[1] + row * cell_height
        page.draw.rectangle(
            (left, top, left + cell_width, top + cell_height), fill=random_colour(rng, 150, 255)
        )
    draw_table(page.draw, box, table, font, page.ink, random_colour(rng) if rng.random() < 0.5 else None)


def _table_page(rng: np.random.Generator, fonts: FontBook, page: Sheet, text: NoticeText) -> None:
    """A size table or price list over the whole page."""
    full = NoticeText(text.title, text.lines[:2], random_table(rng, text.japanese), text.japanese)
    _card(rng, fonts, page, full)


Layout = Callable[[np.random.Generator, FontBook, Sheet, NoticeText], None]
LAYOUTS: tuple[tuple[Layout, float], ...] = (
    (_card, 0.34), (_shout, 0.16), (_vertical, 0.07), (_dense, 0.12),
    (_chat, 0.06), (_blocks, 0.1), (_calendar, 0.05), (_table_page, 0.1),
)  # fmt: skip


def _page(rng: np.random.Generator, photos: Sequence[Image.Image]) -> Sheet:
    short = int(rng.integers(300, 640))
    ratio = float(np.exp(rng.uniform(-0.6, 0.6))) if rng.random() < 0.7 else 1.0
    width, height = (short, int(short * ratio)) if ratio >= 1 else (int(short / ratio), short)
    kind = rng.random()
    if kind < 0.6:
        image, paper = plain_or_gradient(rng, width, height)
    elif kind < 0.85:
        if rng.random() < 0.5:
            image, paper = _panelled(rng, width, height, photos)
        else:
            image, paper = photo_background(rng, width, height, photos)
    else:
        image, paper = paper_sheet(rng, width, height)
    return _sheet(image, paper, rng)


def _panelled(
    rng: np.random.Generator, width: int, height: int, photos: Sequence[Image.Image]
) -> tuple[Image.Image, Colour]:
    """A sharp photo, or a blurred one, of which a panel for the words leaves a border."""
    panel = random_colour(rng, 200, 255) if rng.random() < 0.7 else random_colour(rng, 0, 90)
    if photos and rng.random() < 0.5:
        image = photos[int(rng.integers(len(photos)))].convert("RGB").resize((width, height))
        opacity = float(rng.uniform(0.9, 1))
    else:
        image, opacity = photo_background(rng, width, height, photos)[0], float(rng.uniform(0.6, 1))
    inset_x, inset_y = int(width * rng.uniform(0, 0.1)), int(height * rng.uniform(0.02, 0.16))
    over = image.copy()
    ImageDraw.Draw(over).rectangle((inset_x, inset_y, width - inset_x, height - inset_y), fill=panel)
    return Image.blend(image, over, opacity), panel


def render_notice(
    rng: np.random.Generator, fonts: FontBook, photos: Sequence[Image.Image] = ()
) -> Image.Image:
    """One notice as a seller would upload it; everything about it is drawn from `rng`.

    Args:
        rng: decides words, layout, colours, and whether it is a graphic or a photograph of a print.
        fonts: what to write with.
        photos: backgrounds; textures are used where there are none.

    Returns:
        An RGB image of 300 to 1,200 pixels a side.

    """
    layout = LAYOUTS[int(rng.choice(len(LAYOUTS), p=[share for _, share in LAYOUTS]))][0]
    japanese = layout is _vertical or rng.random() < 0.65
    text = random_notice(rng, japanese, int(rng.integers(1, 13)))
    page = _page(rng, photos)
    if rng.random() < 0.25:
        stickers(rng, page.draw, *page.size)
    layout(rng, fonts, page, text)
    if rng.random() < 0.3:
        frame(rng, page.draw, *page.size, page.ink)
    if rng.random() < 0.3:
        return _printed(rng, page.image)
    return page.image


def _printed(rng: np.random.Generator, sheet: Image.Image) -> Image.Image:
    """A print of the notice on a table or a wall, photographed."""
    side = int(rng.integers(360, 640))
    ground = texture(rng, side, int(side * rng.uniform(0.7, 1.4)))
    laid = lay_down(rng, sheet, ground, float(rng.uniform(0.75, 1.15)), float(rng.uniform(0, 0.09)), 12)
    return photograph(rng, laid)
