"""More layouts of notices: warnings, questions, dates, highlighted lines, diagrams."""

from export.render.region import Region
from export.render.typst.grounds import panel, rgb
from export.render.typst.layouts import paragraphs
from export.render.typst.page import Page
from export.render.typst.phrases import PHRASES, Notice


def _square(at: Region, share: float = 1) -> Region:
    """The largest square in the middle of `at`, times `share`."""
    side = min(at.width, at.height) * share
    return Region(at.x + (at.width - side) / 2, at.y + (at.height - side) / 2, side, side)


def _disc(page: Page, at: Region, colour: str) -> None:
    page.place(at.x, at.y, f"circle(radius: {at.width / 2:.1f}pt, fill: {rgb(colour)})")


def _polygon(page: Page, corners: list[tuple[float, float]], style: str) -> None:
    points = ", ".join(f"({x:.1f}pt, {y:.1f}pt)" for x, y in corners)
    page.place(0, 0, f"polygon({style}, {points})")


def warning(page: Page, notice: Notice, busy: bool) -> None:
    """Hazard tape above and below, a triangle with an exclamation mark, the headline."""
    tape = page.height * page.between(0.05, 0.1)
    if busy:
        page.rect(page.whole, rgb(page.look.ground, 0.85))
    dark, loud = "#1c1c1c", page.look.accent
    for top in (0.0, page.height - tape):
        page.rect(Region(0, top, page.width, tape), rgb(dark))
        for i in range(int(page.width / tape) + 1):
            x = (2 * i - 1) * tape
            corners = [(x, top + tape), (x + tape, top), (x + 2 * tape, top), (x + tape, top + tape)]
            _polygon(page, corners, f"fill: {rgb(loud)}")
    inner = page.whole.inset(page.width * 0.08, tape + page.height * 0.04)
    sign, head, body = inner.rows(page.between(0.8, 1.4), page.between(1, 1.8), page.between(1, 1.6), gap=12)
    box = _square(sign)
    corners = [
        (box.x + box.width / 2, box.y),
        (box.x + box.width, box.y + box.height),
        (box.x, box.y + box.height),
    ]
    _polygon(page, corners, f"fill: {rgb(loud)}, stroke: {page.between(2, 8):.1f}pt + {rgb(page.look.ink)}")
    mark = Region(box.x + box.width * 0.3, box.y + box.height * 0.36, box.width * 0.4, box.height * 0.52)
    page.fit_headline(mark, ["!"], page.look.on(loud))
    page.fit_headline(head, notice.headline, page.look.ink)
    page.fit_text(body, paragraphs(page, notice.lines[:3], page.look.ink), "center + horizon", 1.4)


def questions(page: Page, notice: Notice, busy: bool) -> None:
    """Questions and answers in turn, each with its letter in a disc."""
    inner = page.whole.inset(page.width * 0.07, page.height * 0.05)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.92)
    head, body = inner.rows(0.8, page.between(3.5, 5), gap=14)
    page.fit_headline(head, ["Q & A" if page.chance(0.5) else notice.title], page.look.ink)
    count = 2 * int(page.rng.integers(2, 4))
    for i, row in enumerate(body.rows(*[1] * count, gap=8)):
        letter, text = row.columns(1, page.between(6, 8), gap=12)
        colour = page.look.accent if i % 2 == 0 else page.look.second
        if i % 2 == 0:
            page.rect(row.inset(-6, -2), rgb(page.look.second, 0.5), ", radius: 8pt")
        spot = _square(letter, 0.85)
        _disc(page, spot, colour)
        page.fit_headline(spot.inset(spot.width * 0.28), ["QA"[i % 2]], page.look.on(colour))
        words = notice.lines[i % len(notice.lines)]
        page.fit_text(text, page.words(words, page.look.ink, bold=i % 2 == 0), "left + horizon", 1.3)


def either(page: Page, notice: Notice, busy: bool) -> None:
    """Two cards side by side: what is welcome, with a ring, and what is not, with a cross."""
    del busy
    head, body = page.whole.inset(page.width * 0.05, page.height * 0.05).rows(0.8, page.between(3, 4), gap=14)
    page.rect(head, rgb(page.look.ground, 0.9))
    page.fit_headline(head.inset(8), [notice.title], page.look.ink)
    radius, half = page.between(0, 24), len(notice.lines) // 2
    cut = body.columns if page.chance(0.7) else body.rows
    for i, (cell, shade) in enumerate(zip(cut(1, 1, gap=16), ("#d94a5a", "#3f6fc4"), strict=True)):
        page.rect(cell, rgb("#ffffff"), f", radius: {radius:.0f}pt, stroke: 3pt + {rgb(shade)}")
        sign, text = cell.inset(16).rows(1, 2.2, gap=10)
        box = _square(sign, 0.8)
        thick = f"{box.width * 0.14:.1f}pt + {rgb(shade)}"
        if i == 0:
            page.place(box.x, box.y, f"circle(radius: {box.width / 2:.1f}pt, stroke: {thick})")
        else:
            for start, end in ((box.x, box.x + box.width), (box.x + box.width, box.x)):
                ends = f"({start:.1f}pt, {box.y:.1f}pt), end: ({end:.1f}pt, {box.y + box.height:.1f}pt)"
                page.place(0, 0, f"line(start: {ends}, stroke: {thick})")
        lines = notice.lines[half * i : half * (i + 1)][:3]
        page.fit_text(text, paragraphs(page, lines, "#333333"), "center + horizon", 1.2)


def date(page: Page, notice: Notice, busy: bool) -> None:
    """A date as large as half the page, with the weekday in a disc."""
    inner = page.whole.inset(page.width * 0.08, page.height * 0.07)
    if busy:
        panel(page, page.whole.inset(page.width * 0.04), 0.9)
    head, day, body = inner.rows(1, page.between(1.2, 2.2), 1.1, gap=16)
    page.fit_headline(head, [notice.title], page.look.ink)
    number, weekday = day.columns(page.between(2.2, 3.2), 1, gap=14)
    mark = str(page.rng.choice([".", "/", " - "]))
    when = f"{int(page.rng.integers(1, 13))}{mark}{int(page.rng.integers(1, 31))}"
    page.fit_headline(number, [when], page.look.accent if page.chance(0.5) and not busy else page.look.ink)
    spot, letter = _square(weekday, 0.9), int(page.rng.integers(7))
    _disc(page, spot, page.look.accent)
    names = PHRASES.language(notice.japanese).weekdays
    page.fit_headline(spot.inset(spot.width * 0.24), [names[letter]], page.look.on(page.look.accent))
    page.fit_text(body, paragraphs(page, notice.lines[:3], page.look.ink), "center + horizon", 1.4)


def story(page: Page, notice: Notice, busy: bool) -> None:
    """Lines of different widths, each on a strip of its own colour, a little askew, as in a story post."""
    del busy
    lines = [*notice.headline, *notice.lines[: int(page.rng.integers(1, 5))]]
    space = page.whole.inset(page.width * 0.06, page.height * page.between(0.08, 0.22))
    shades = (page.look.accent, page.look.ground, page.look.ink)
    only_colour = shades[int(page.rng.integers(3))] if page.chance(0.5) else ""
    head = len(notice.headline)
    shares = [1.8 if i < head else 1.0 for i in range(len(lines))]
    for i, row in enumerate(space.rows(*shares, gap=page.between(6, 18))):
        colour = only_colour or shades[int(page.rng.integers(3))]
        ink = page.look.ground if colour == page.look.ink else page.look.on(colour)
        room = min(row.width, row.height * 0.62 * len(lines[i]) * (1 if notice.japanese else 0.55) + 30)
        x = row.x if page.chance(0.4) else row.x + (row.width - room) * page.between(0, 1)
        strip = Region(x, row.y, room, row.height)
        page.rect(strip, rgb(colour), f", radius: {page.between(0, 14):.0f}pt")
        page.fit_headline(strip.inset(12, row.height * 0.2), [lines[i]], ink, turn=page.between(-1.5, 1.5))


def diagram(page: Page, notice: Notice, busy: bool) -> None:
    """An outline of a shirt with lettered arrows, and the measures under it."""
    inner = page.whole.inset(page.width * 0.07, page.height * 0.05)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.95)
    head, drawing, legend = inner.rows(0.7, page.between(1.2, 2), page.between(0.9, 1.3), gap=14)
    page.fit_headline(head, [PHRASES.language(notice.japanese).diagram_title], page.look.ink)
    box = _square(drawing)

    def spot(x: float, y: float) -> tuple[float, float]:
        return box.x + x * box.width, box.y + y * box.height

    sleeve = page.between(0.35, 0.8)
    right = [
        (0.56, 0.1),
        (0.64, 0.05),
        (0.8, 0.12),
        (1, sleeve),
        (0.88, sleeve + 0.06),
        (0.76, 0.36),
        (0.76, 0.95),
    ]
    outline = [*right, *((1 - x, y) for x, y in right[::-1])]
    fill = page.look.second if page.chance(0.5) else "#ffffff"
    _polygon(
        page, [spot(x, y) for x, y in outline], f"fill: {rgb(fill)}, stroke: 2.5pt + {rgb(page.look.ink)}"
    )
    arrows = {
        "A": ((0.24, 0.45), (0.76, 0.45)),
        "B": ((0.5, 0.1), (0.5, 0.95)),
        "C": ((0.2, 0.12), (0, sleeve)),
    }
    for letter, ends in arrows.items():
        start, end = (f"({x:.1f}pt, {y:.1f}pt)" for x, y in (spot(*point) for point in ends))
        page.place(0, 0, f"line(start: {start}, end: {end}, stroke: 2pt + {rgb(page.look.accent)})")
        x, y = spot(*(0.75 * axis[0] + 0.25 * axis[1] for axis in zip(*ends, strict=True)))
        disc = Region(x - 16, y - 16, 32, 32)
        _disc(page, disc, page.look.accent)
        page.fit_headline(disc.inset(9), [letter], page.look.on(page.look.accent))
    lines = [f"{letter}  {page.between(18, 75):.1f} cm" for letter in arrows]
    page.fit_text(legend, paragraphs(page, [*lines, notice.lines[0]], page.look.ink), "center + horizon", 1.2)
