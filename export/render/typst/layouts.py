"""Layouts of notices that set headlines and lines of text."""

from collections.abc import Sequence

from export.render.region import Region
from export.render.typst.grounds import bear, burst, panel, rgb
from export.render.typst.page import Page, quoted
from export.render.typst.phrases import Notice, notice_of

_TURNED = "ー〜～「」（）()-–："  # noqa: RUF001


def paragraphs(page: Page, lines: Sequence[str], colour: str, marks: Sequence[str] = ("",)) -> str:
    """Markup of `lines`, a paragraph each, with the marks in turn before them."""
    return "\n\n".join(page.words(marks[i % len(marks)] + line, colour) for i, line in enumerate(lines))


def _some_lines(page: Page, notice: Notice, low: int, high: int) -> tuple[str, ...]:
    return notice.lines[: int(page.rng.integers(low, high + 1))]


def _random_align(page: Page) -> str:
    return str(page.rng.choice(["center", "center", "left"]))


def centred(page: Page, notice: Notice, busy: bool) -> None:
    """Small words, a headline, an ornament, a few lines, the shop's name."""
    inner = page.whole.inset(page.width * page.between(0.06, 0.14), page.height * page.between(0.06, 0.12))
    if busy or page.chance(0.3):
        panel(page, inner, page.between(0.75, 1))
        inner = inner.inset(inner.width * 0.07, inner.height * 0.06)
    kicker, head, rule, body, foot = inner.rows(
        0.6, page.between(1.6, 3.4), 0.4, page.between(2.5, 4.5), 0.5, gap=8
    )
    ink, accent, side = page.look.ink, page.look.accent, _random_align(page)
    page.fit_text(kicker, page.words(notice.kicker, accent, head=True), f"{side} + bottom", 1.1)
    page.fit_headline(head, notice.headline, ink, f"{side} + horizon")
    middle = rule.y + rule.height / 2
    if page.chance(0.5):
        wide = inner.width * page.between(0.15, 0.9)
        x = inner.x + (inner.width - wide) / 2 if side == "center" else inner.x
        page.place(
            x, middle, f"line(length: {wide:.0f}pt, stroke: {page.between(0.8, 4):.1f}pt + {rgb(accent)})"
        )
    elif page.chance(0.6):
        for i in range(-2, 3):
            x = inner.x + inner.width / 2 + 22 * i - 4
            page.place(x, middle - 4, f"circle(radius: 4pt, fill: {rgb(accent)})")
    marks = (
        [("",), ("・",), ("※",), ("◆ ",), ("", "")] if notice.japanese else [("",), ("- ",), ("* ",), ("> ",)]
    )
    lines = paragraphs(page, _some_lines(page, notice, 2, 6), ink, marks[int(page.rng.integers(len(marks)))])
    page.fit_text(body, lines, f"{side} + horizon", page.between(0.9, 1.5), page.between(0.6, 1.1))
    page.fit_text(foot, page.words(notice.shop, accent), f"{side} + horizon", 0.9)


def huge(page: Page, notice: Notice, busy: bool) -> None:
    """Nothing but the headline, as large as the page lets it be."""
    inner = page.whole.inset(page.width * page.between(0.04, 0.15), page.height * page.between(0.08, 0.25))
    if busy and page.chance(0.7):
        panel(page, page.whole.inset(page.width * 0.03, inner.y * 0.6), page.between(0.7, 1))
    turn = page.between(-14, 14) if page.chance(0.35) else 0
    if page.chance(0.5):
        head, foot = inner.rows(5, 1, gap=12)
        page.fit_text(foot, page.words(notice.lines[0], page.look.ink), "center + horizon", 1.4)
    else:
        head = inner
    parts = notice.headline if page.chance(0.7) else (notice.title,)
    page.fit_headline(
        head, parts, page.look.accent if page.chance(0.4) and not busy else page.look.ink, turn=turn
    )


def wall(page: Page, notice: Notice, busy: bool) -> None:
    """A dense wall of small text, in one column or two."""
    inner = page.whole.inset(page.width * 0.05, page.height * 0.04)
    if busy:
        panel(page, page.whole.inset(page.width * 0.025), 0.92)
    head, body = inner.rows(1, page.between(5, 10), gap=10)
    page.fit_headline(
        head, [notice.title], page.look.ink, "left + horizon" if page.chance(0.5) else "center + horizon"
    )
    others = [notice_of(page.rng, notice.japanese, subject).lines for subject in ("read", "terms", "delay")]
    spare = [line for lines in others for line in lines if line not in notice.lines]
    lines = [*notice.lines, *spare[: int(page.rng.integers(2, 9))]]
    marks = ("■", "●", "・", "") if notice.japanese else ("• ", "- ", "", "· ")
    columns = body.columns(1, 1, gap=18) if page.chance(0.4) else [body]
    share = -(-len(lines) // len(columns))
    mark = (marks[int(page.rng.integers(len(marks)))],)
    for i, column in enumerate(columns):
        text = paragraphs(page, lines[i * share :][:share], page.look.ink, mark)
        page.fit_text(column, text, "left + top", 1.9, page.between(0.5, 0.8))


def split(page: Page, notice: Notice, busy: bool) -> None:
    """A coloured panel (or photo) with the headline beside or above a panel with the lines."""
    share = page.between(0.32, 0.55)
    cut = page.whole.columns if page.chance(0.5) else page.whole.rows
    first, second = cut(share, 1 - share, gap=0)
    if page.chance(0.3):
        first, second = cut(1 - share, share, gap=0)[::-1]
    page.rect(second, rgb(page.look.ground, 0.93 if busy else 1))
    colour = page.look.accent if page.chance(0.7) else page.look.ink
    page.rect(first, rgb(colour))
    washed = page.chance(0.4) and page.photo(first)
    if washed:
        page.rect(first, rgb(colour, 0.5))
    turn = -90 if first.height > first.width * 1.5 and not notice.japanese and page.chance(0.5) else 0
    place = first.inset(first.width * 0.1, first.height * 0.12)
    if turn:
        x, y = place.x + (place.width - place.height) / 2, place.y + (place.height - place.width) / 2
        turned = Region(x, y, place.height, place.width)
        page.fit_headline(turned, [notice.title], page.look.on(colour), turn=turn)
    else:
        page.fit_headline(place, notice.headline, page.look.on(colour))
    lines, side = (
        paragraphs(page, (*_some_lines(page, notice, 2, 5), notice.shop), page.look.ink),
        _random_align(page),
    )
    inner = second.inset(second.width * 0.09, second.height * 0.08)
    page.fit_text(inner, lines, f"{side} + horizon", 1.5, 0.9)


def steps(page: Page, notice: Notice, busy: bool) -> None:
    """Numbered boxes in a row, a column or a grid, with arrows or lines between."""
    inner = page.whole.inset(page.width * 0.06, page.height * 0.05)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.9)
    head, body = inner.rows(1, page.between(3.5, 5), gap=14)
    page.fit_headline(head, [notice.title], page.look.ink)
    count = int(page.rng.integers(3, 6))
    if page.chance(0.35) and count % 2 == 0:
        cells = [cell for row in body.rows(*[1] * (count // 2), gap=14) for cell in row.columns(1, 1, gap=14)]
    else:
        cells = body.rows(*[1] * count, gap=page.between(8, 18))
    colour = page.look.second if page.chance(0.5) else page.look.accent
    ink, corner_radius = (
        page.look.ink if colour == page.look.second else page.look.on(colour),
        page.between(0, 20),
    )
    word = str(page.rng.choice(["STEP ", "", "", "0"]))
    for i, cell in enumerate(cells):
        page.rect(cell, rgb(colour), f", radius: {corner_radius:.0f}pt")
        number, text = cell.inset(10, 6).columns(1, page.between(3.5, 5.5), gap=10)
        side = min(number.width, number.height) * 0.8
        spot = Region(number.x + (number.width - side) / 2, number.y + (number.height - side) / 2, side, side)
        if word != "STEP ":
            page.place(spot.x, spot.y, f"circle(radius: {side / 2:.1f}pt, fill: {rgb(ink)})")
            page.fit_headline(spot.inset(side * 0.28), [f"{word}{i + 1}"], colour)
        else:
            page.fit_headline(number.inset(4, number.height * 0.3), [f"{word}{i + 1}"], ink)
        page.fit_text(text, page.words(notice.lines[i % len(notice.lines)], ink), "left + horizon", 1.3)


def upright(page: Page, notice: Notice, busy: bool) -> None:
    """Japanese in columns from right to left; long marks turned, full stops moved to the upper right."""
    inner = page.whole.inset(page.width * page.between(0.07, 0.18), page.height * page.between(0.06, 0.14))
    if busy or page.chance(0.3):
        panel(page, inner.inset(-page.width * 0.04, -page.height * 0.03), page.between(0.8, 1))
    lines = [*notice.headline, *_some_lines(page, notice, 1, 5)]
    columns = [column for line in lines for column in _upright_columns(line, 16)]
    head = len(notice.headline)
    shares = [2.2 if i < head else 1.0 for i in range(len(columns))][::-1]
    for region, text, share in zip(inner.columns(*shares, gap=4), columns[::-1], shares, strict=True):
        letters = "".join(_upright_letter(letter) for letter in text)
        colour = page.look.accent if share > 1 and page.chance(0.3) else page.look.ink
        look = page.look
        font, size = (
            (look.head_font, region.width * 0.8) if share > 1 else (look.body_font, region.width * 0.72)
        )
        size = min(size, inner.height * 0.9 / 17 if share == 1 else inner.height / (len(text) + 0.5) / 1.05)
        column = f'text(font: "{font}", size: {size:.1f}pt, fill: {rgb(colour)}, stack(dir: ttb, {letters}))'
        page.place(
            region.x,
            region.y + (page.height * 0.05 if share == 1 else 0),
            f"box(width: {region.width:.1f}pt, align(center, {column}))",
        )


def _upright_columns(line: str, longest: int) -> list[str]:
    return [line[i : i + longest] for i in range(0, len(line), longest)]


def _upright_letter(letter: str) -> str:
    body = f"[{quoted(letter)}]"
    if letter in _TURNED:
        body = f"rotate(90deg, {body})"
    elif letter in "、。":
        body = f"move(dx: 0.6em, dy: -0.6em, {body})"
    return f"box(width: 1em, height: 1.05em, align(center + horizon, {body})), "


def seal(page: Page, notice: Notice, busy: bool) -> None:
    """Everything inside one large circle, ellipse or star-edged seal."""
    side = min(page.width, page.height) * page.between(0.72, 0.96)
    x, y = page.width / 2, page.height / 2
    colour = page.look.ground if busy else page.look.accent if page.chance(0.5) else page.look.second
    ink = page.look.ink if colour in {page.look.ground, page.look.second} else page.look.on(colour)
    if page.chance(0.4):
        burst(page, x, y, side / 2, colour)
    else:
        ring = f", stroke: {page.between(1, 8):.1f}pt + {rgb(page.look.ink)}" if page.chance(0.5) else ""
        page.place(x - side / 2, y - side / 2, f"circle(radius: {side / 2:.1f}pt, fill: {rgb(colour)}{ring})")
    top, head, body = Region(x - side * 0.33, y - side * 0.33, side * 0.66, side * 0.66).rows(
        0.5, 2.2, 1.6, gap=8
    )
    page.fit_text(top, page.words(notice.kicker, ink, head=True), "center + horizon", 1)
    page.fit_headline(head, notice.headline, ink, turn=page.between(-10, 10) if page.chance(0.3) else 0)
    page.fit_text(body, paragraphs(page, _some_lines(page, notice, 1, 3), ink), "center + horizon", 1.2)


def notes(page: Page, notice: Notice, busy: bool) -> None:
    """Sticky notes or cards, askew, each with a line; the headline over them."""
    del busy
    head, body = page.whole.inset(page.width * 0.06, page.height * 0.05).rows(1, page.between(2.5, 4), gap=16)
    page.rect(head.inset(-page.width * 0.06, -6), rgb(page.look.accent, 0.95))
    page.fit_headline(
        head.inset(head.width * 0.05, head.height * 0.12), [notice.title], page.look.on(page.look.accent)
    )
    rows, across = (2, 2) if page.chance(0.6) else (3, 1 + int(page.rng.integers(2)))
    cells = [cell for row in body.rows(*[1] * rows, gap=14) for cell in row.columns(*[1] * across, gap=14)]
    shades = ("#fff59d", "#ffd6e0", "#c8f0d8", "#cfe8ff", "#ffffff", "#ffe0b5")
    for i, cell in enumerate(cells):
        shade = shades[int(page.rng.integers(len(shades)))]
        turn = page.between(-6, 6)
        text = page.words(notice.lines[i % len(notice.lines)], "#40352c")
        inner = (
            f"fit-text({cell.width - 28:.0f}pt, {cell.height - 28:.0f}pt, "
            f"center + horizon, 1.3, align(center)[{text}])"
        )
        sides = f"width: {cell.width:.0f}pt, height: {cell.height:.0f}pt"
        card = f"rect({sides}, fill: {rgb(shade)}, inset: 14pt, {inner})"
        page.place(cell.x, cell.y, f"rotate({turn:.1f}deg, {card})")


def apology(page: Page, notice: Notice, busy: bool) -> None:
    """An animal with a speech balloon over a few lines."""
    inner = page.whole.inset(page.width * 0.07, page.height * 0.06)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.88)
    top, body = inner.rows(page.between(1, 1.6), 1, gap=16)
    animal, balloon = top.columns(1, page.between(1.3, 2.2), gap=18)
    side = min(animal.width, animal.height)
    bear(page, animal.x, animal.y + (animal.height - side) / 2, side)
    shade = "#ffffff" if page.chance(0.6) else page.look.second
    ink = "#333333" if shade == "#ffffff" else page.look.ink
    page.rect(
        balloon, rgb(shade), f", radius: {page.between(10, 60):.0f}pt, stroke: 2pt + {rgb(page.look.accent)}"
    )
    page.fit_headline(balloon.inset(balloon.width * 0.12, balloon.height * 0.2), notice.headline, ink)
    page.fit_text(
        body,
        paragraphs(page, _some_lines(page, notice, 2, 5), page.look.ink),
        f"{_random_align(page)} + horizon",
        1.3,
    )


def facts(page: Page, notice: Notice, busy: bool) -> None:
    """A headline over a grid of coloured boxes, each with a line in it."""
    del busy
    inner = page.whole.inset(page.width * 0.05, page.height * 0.05)
    head, body = inner.rows(1, page.between(2.5, 4.5), gap=14)
    page.rect(head, rgb(page.look.ground, 0.9))
    page.fit_headline(head.inset(6), [notice.title], page.look.ink)
    across, rows = int(page.rng.integers(1, 4)), int(page.rng.integers(2, 4))
    cells = [cell for row in body.rows(*[1] * rows, gap=10) for cell in row.columns(*[1] * across, gap=10)]
    radius = page.between(0, 26)
    for i, cell in enumerate(cells):
        colour = (page.look.accent, page.look.second, page.look.ink)[(i + i // across) % 3]
        ink = (
            page.look.ink
            if colour == page.look.second
            else page.look.ground
            if colour == page.look.ink
            else page.look.on(colour)
        )
        page.rect(cell, rgb(colour), f", radius: {radius:.0f}pt")
        text = page.words(notice.lines[i % len(notice.lines)], ink)
        page.fit_text(cell.inset(12), text, "center + horizon", 1.4)


def pictured(page: Page, notice: Notice, busy: bool) -> None:
    """A photo (or a coloured shape) over one part of the page and a caption panel over the rest."""
    del busy
    band = page.between(0.6, 0.8)
    at = page.whole.rows(1 - band, band, gap=0)[1 if page.chance(0.7) else 0]
    if not page.photo(page.whole):
        shape = Region(page.width * 0.2, page.height * 0.1, page.width * 0.6, page.height * 0.6)
        page.rect(shape, rgb(page.look.second), ", radius: 50%")
        bear(page, shape.x + shape.width * 0.2, shape.y + shape.height * 0.15, shape.width * 0.6)
    at = at if page.chance(0.5) else at.inset(page.width * 0.05, page.height * 0.03)
    page.rect(at, rgb(page.look.ground, page.between(0.7, 1)))
    head, body = at.inset(at.width * 0.06, at.height * 0.09).rows(1.3, 1, gap=8)
    page.fit_headline(head, [notice.title] if page.chance(0.4) else notice.headline, page.look.ink)
    page.fit_text(
        body, paragraphs(page, _some_lines(page, notice, 1, 3), page.look.ink), "center + horizon", 1.1
    )
