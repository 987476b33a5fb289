"""Layouts of notices that are tables, tickets and screens."""

from export.render.region import Region
from export.render.typst.grounds import burst, panel, rgb
from export.render.typst.layouts import paragraphs
from export.render.typst.page import Page
from export.render.typst.phrases import PHRASES, Notice, pick


def _cell(page: Page, words: str, colour: str, bold: bool = False) -> str:
    return f"[{page.words(words, colour, size=18, bold=bold)}]"


def _headline(page: Page, at: Region, notice: Notice, words: str) -> None:
    page.fit_headline(at, [words if page.chance(0.7) else notice.title], page.look.ink)


def measures(page: Page, notice: Notice, busy: bool) -> None:
    """A size table over the page: banded, ruled or boxed."""
    inner = page.whole.inset(page.width * 0.06, page.height * 0.06)
    if busy:
        panel(page, page.whole.inset(page.width * 0.025), 0.95)
    head, body, foot = inner.rows(1, page.between(3, 5), 0.8, gap=12)
    words = PHRASES.language(notice.japanese)
    _headline(page, head, notice, pick(page.rng, words.size_titles))
    names = words.measures
    chosen = [names[int(i)] for i in page.rng.choice(len(names), int(page.rng.integers(2, 6)), replace=False)]
    sizes = [
        ("36", "38", "40", "42", "44"),
        words.size_names,
        ("70", "80", "90", "100", "110", "120"),
    ][int(page.rng.integers(3))]
    rows = sizes[: int(page.rng.integers(2, 7))]
    look, band = page.look, page.chance(0.5)
    top = look.accent if page.chance(0.6) else look.second
    ink = look.ink if top == look.second else look.on(top)
    cells = [_cell(page, word, ink, bold=True) for word in ("", *chosen)]
    for size in rows:
        numbers = [
            f"{page.between(15, 99):.1f}" if page.chance(0.4) else str(int(page.rng.integers(15, 99)))
            for _ in chosen
        ]
        cells += [_cell(page, word, look.ink) for word in (size, *numbers)]
    plain = rgb(look.ground)
    shade = rgb(look.second) if band else plain
    line = f"{page.between(0.5, 2):.1f}pt + {rgb(look.ink)}" if page.chance(0.6) else "none"
    fill = f"(x, y) => if y == 0 {{ {rgb(top)} }} else if calc.odd(y) {{ {plain} }} else {{ {shade} }}"
    columns = ", ".join(["1fr"] * (len(chosen) + 1))
    table = (
        f"#table(columns: ({columns}), align: center + horizon, inset: {page.between(7, 26):.0f}pt, "
        f"stroke: {line}, fill: {fill}, {', '.join(cells)})"
    )
    page.fit_text(body, table, "center + horizon", 1.5)
    page.fit_text(foot, paragraphs(page, notice.lines[:2], look.ink), "center + horizon", 0.8)


def prices(page: Page, notice: Notice, busy: bool) -> None:
    """A menu of prices with dotted leaders, or in two ruled columns."""
    inner = page.whole.inset(page.width * page.between(0.08, 0.15), page.height * 0.07)
    if busy or page.chance(0.3):
        panel(page, inner.inset(-page.width * 0.04, -page.height * 0.03), 0.95)
    head, body, foot = inner.rows(1, page.between(3, 5), 0.6, gap=12)
    words = PHRASES.language(notice.japanese)
    _headline(page, head, notice, pick(page.rng, words.price_titles))
    goods = words.goods
    lead = str(page.rng.choice(["repeat[ . ]", "line(length: 100%, stroke: 0.5pt)", "[]"]))
    rows = []
    for i in page.rng.choice(len(goods), int(page.rng.integers(4, 10)), replace=False):
        amount = int(page.rng.integers(2, 60)) * 110
        price = words.price.format(yen=amount, pounds=amount / 100)
        rows += [
            _cell(page, goods[int(i)], page.look.ink),
            f"[#text(fill: {rgb(page.look.accent)}, {lead})]",
            _cell(page, price, page.look.ink, bold=True),
        ]
    gutter = page.between(8, 26)
    grid = (
        f"#grid(columns: (auto, 1fr, auto), column-gutter: 8pt, row-gutter: {gutter:.0f}pt, "
        f"align: bottom, {', '.join(rows)})"
    )
    page.fit_text(body, grid, "left + horizon", 1.6)
    page.fit_text(foot, page.words(notice.shop, page.look.accent), "center + bottom", 1)


def coupon(page: Page, notice: Notice, busy: bool) -> None:
    """A ticket with a stub, notches, a large amount and a code."""
    del busy
    height = page.height * page.between(0.45, 0.85)
    at = Region(page.width * 0.05, (page.height - height) / 2, page.width * 0.9, height)
    colour = page.look.accent if page.chance(0.6) else "#ffffff"
    ink = page.look.on(colour) if colour == page.look.accent else "#3a3a3a"
    page.rect(at, rgb(colour), f", radius: {page.between(0, 20):.0f}pt")
    main, stub = at.columns(page.between(2, 3.5), 1, gap=0)
    dash = f'stroke: (paint: {rgb(ink)}, thickness: 2pt, dash: "dashed")'
    page.place(stub.x, at.y + 10, f"line(start: (0pt, 0pt), end: (0pt, {at.height - 20:.0f}pt), {dash})")
    for y in (at.y, at.y + at.height):
        page.place(stub.x - 16, y - 16, f"circle(radius: 16pt, fill: {rgb(page.look.ground)})")
    top, amount, low = main.inset(main.width * 0.08, main.height * 0.1).rows(0.7, 2.2, 1.1, gap=8)
    share = int(page.rng.integers(1, 10)) * 5
    words = PHRASES.language(notice.japanese)
    page.fit_headline(top, [pick(page.rng, words.coupon_titles)], ink)
    page.fit_headline(
        amount, [pick(page.rng, words.coupon_values).format(yen=20 * share, percent=share)], ink
    )
    page.fit_text(low, paragraphs(page, notice.lines[:2], ink), "center + horizon", 0.9)
    code = "".join(page.rng.choice(list("ACDEFHKMNPRTWXY3479"), int(page.rng.integers(4, 9))))
    turned = stub.inset(stub.width * 0.3, stub.height * 0.12)
    over = Region(
        turned.x + (turned.width - turned.height) / 2,
        turned.y + (turned.height - turned.width) / 2,
        turned.height,
        turned.width,
    )
    page.fit_headline(over, [code], ink, turn=90 if page.chance(0.5) else -90)


def sale(page: Page, notice: Notice, busy: bool) -> None:
    """A loud banner: a huge share, a seal, a slanted ribbon."""
    del busy
    head, number, foot = page.whole.inset(page.width * 0.05, page.height * 0.05).rows(
        1, page.between(1.5, 2.6), 0.8, gap=10
    )
    colour = page.look.accent
    if page.chance(0.5):
        burst(
            page,
            page.width / 2,
            page.height / 2,
            max(page.width, page.height) * page.between(0.56, 0.75),
            colour,
        )
        ink = page.look.on(colour)
    else:
        page.rect(Region(0, foot.y - 8, page.width, page.height - foot.y + 8), rgb(colour))
        ink = page.look.ink
    page.fit_headline(head.inset(head.width * 0.08, 0), [notice.title], ink)
    share = int(page.rng.integers(1, 10)) * 10
    discount = pick(page.rng, PHRASES.language(notice.japanese).discounts)
    page.fit_headline(
        number.inset(number.width * 0.06, number.height * 0.05),
        [discount.format(percent=share, tenths=share // 10)],
        ink,
        turn=page.between(-9, 9),
    )
    page.fit_text(
        foot.inset(foot.width * 0.08, 4),
        page.words(notice.lines[0], page.look.on(colour)),
        "center + horizon",
        1.3,
    )
    if page.chance(0.5):
        strip = Region(-page.width * 0.33, page.height * 0.01, page.width * 0.8, page.height * 0.05)
        words = page.words(notice.kicker, page.look.ground, head=True, size=strip.height * 0.5)
        ribbon = (
            f"box(width: {strip.width:.0f}pt, height: {strip.height:.0f}pt, fill: {rgb(page.look.ink)}, "
            f"align(center + horizon)[{words}])"
        )
        page.place(strip.x, strip.y, f"rotate(-35deg, {ribbon})")


def month(page: Page, notice: Notice, busy: bool) -> None:
    """A month's days with the closed ones in discs, and a legend."""
    inner = page.whole.inset(page.width * 0.07, page.height * 0.05)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.95)
    head, grid, foot = inner.rows(1, page.between(3, 4.5), 0.9, gap=12)
    number, words = int(page.rng.integers(1, 13)), PHRASES.language(notice.japanese)
    page.fit_headline(head, [words.month_title.format(month=number)], page.look.ink)
    start, days = int(page.rng.integers(7)), int(page.rng.choice([28, 30, 31]))
    closed = set(page.rng.choice(days, int(page.rng.integers(3, 12)), replace=False).tolist())
    rows = grid.rows(*[1] * (1 + -(-(start + days) // 7)), gap=0)
    for row_index, row in enumerate(rows):
        for column, cell in enumerate(row.columns(*[1] * 7, gap=0)):
            day = (row_index - 1) * 7 + column - start
            if row_index == 0:
                page.fit_headline(
                    cell.inset(cell.width * 0.3, cell.height * 0.3), [words.week[column]], page.look.accent
                )
            elif 0 <= day < days:
                side = min(cell.width, cell.height) * 0.86
                spot = Region(cell.x + (cell.width - side) / 2, cell.y + (cell.height - side) / 2, side, side)
                if day in closed:
                    page.place(
                        spot.x, spot.y, f"circle(radius: {side / 2:.1f}pt, fill: {rgb(page.look.accent)})"
                    )
                ink = page.look.on(page.look.accent) if day in closed else page.look.ink
                page.fit_headline(spot.inset(side * 0.2), [f"{day + 1:2d}".strip()], ink)
    page.fit_text(
        foot, page.words(words.closed_legend + notice.lines[0], page.look.ink), "center + horizon", 0.9
    )


def chat(page: Page, notice: Notice, busy: bool) -> None:
    """A phone's message screen."""
    del busy
    dark = page.chance(0.25)
    wall = str(
        page.rng.choice(["#101418", "#1c1c1e"] if dark else ["#ffffff", "#8fabd8", "#f2f2f7", "#e7ded2"])
    )
    page.rect(page.whole, rgb(wall))
    bar, body, entry = page.whole.rows(1, 9, 0.8, gap=0)
    page.rect(bar, rgb("#232326" if dark else "#f8f8f8"))
    page.fit_text(
        bar.inset(20, 8),
        page.words(f"<  {notice.shop}", "#f0f0f0" if dark else "#222222", bold=True),
        "left + horizon",
        1,
    )
    mine = str(page.rng.choice(["#06c755", "#0a84ff", "#8de055", "#d94f8a"]))
    says = PHRASES.language(notice.japanese).chat
    lines = [
        pick(page.rng, says if page.chance(0.6) else notice.lines)
        for _ in range(int(page.rng.integers(4, 9)))
    ]
    for row, line in zip(body.inset(16, 10).rows(*[1] * len(lines), gap=8), lines, strict=True):
        wide = min(row.width * 0.75, 40 + 22 * len(line) * (1 if notice.japanese else 0.55))
        ours = page.chance(0.5)
        bubble = Region(row.x + row.width - wide if ours else row.x + 44, row.y, wide, row.height * 0.85)
        fill = mine if ours else "#3a3a3c" if dark else "#ffffff" if wall != "#ffffff" else "#ececee"
        ink = "#ffffff" if fill in {"#3a3a3c", "#0a84ff", "#d94f8a"} else "#111111"
        page.rect(bubble, rgb(fill), f", radius: {page.between(14, 24):.0f}pt")
        page.fit_text(bubble.inset(12, 5), page.words(line, ink), "left + horizon", 1)
        if not ours:
            page.place(row.x, row.y, f"circle(radius: 17pt, fill: {rgb(page.look.accent)})")
    page.rect(entry, rgb("#232326" if dark else "#f8f8f8"))
    page.rect(
        entry.inset(50, 9),
        rgb("#3a3a3c" if dark else "#ffffff"),
        f", radius: 20pt, stroke: 0.5pt + {rgb('#bbbbbb')}",
    )


def mail(page: Page, notice: Notice, busy: bool) -> None:
    """A mail, memo or post as an app shows it: a name, a date, plain text from the left."""
    del busy
    dark = page.chance(0.3)
    ground, ink, grey = ("#16181c", "#e7e9ea", "#7a8088") if dark else ("#ffffff", "#16181c", "#8a8f98")
    if page.chance(0.2) and not dark:
        ground = "#fdf7d8"
    page.rect(page.whole, rgb(ground))
    inner = page.whole.inset(page.width * 0.06, page.height * 0.05)
    name, body, foot = inner.rows(1, page.between(5, 8), 0.6, gap=10)
    side = min(name.height, 60)
    page.place(name.x, name.y, f"circle(radius: {side / 2:.0f}pt, fill: {rgb(page.look.accent)})")
    who = (
        page.words(notice.shop, ink, size=18, bold=True)
        + " \\ "
        + page.words(f"{int(page.rng.integers(8, 23))}:{int(page.rng.integers(10, 60))}", grey, size=14)
    )
    page.fit_text(Region(name.x + side + 14, name.y, name.width - side - 14, side), who, "left + horizon", 1)
    text = page.words(notice.title, ink, size=26, bold=True) + "\n\n" + paragraphs(page, notice.lines, ink)
    page.fit_text(body, text, "left + top", page.between(0.9, 1.4))
    page.place(foot.x, foot.y, f"line(length: {foot.width:.0f}pt, stroke: 0.7pt + {rgb(grey)})")
    marks = "".join(
        f"#box(width: 25%, align(center, circle(radius: 7pt, stroke: 1.5pt + {rgb(grey)})))" for _ in range(4)
    )
    page.place(foot.x, foot.y + 12, f"box(width: {foot.width:.0f}pt)[{marks}]")


def listing(page: Page, notice: Notice, busy: bool) -> None:
    """A payment page for one customer: a name plate, an amount, a warning."""
    inner = page.whole.inset(page.width * 0.08, page.height * 0.1)
    if busy:
        panel(page, inner.inset(-page.width * 0.04), 0.95)
    plate, amount, rest = inner.rows(page.between(1.2, 2.4), 1, page.between(1, 2), gap=18)
    page.rect(
        plate,
        "none",
        f", stroke: {page.between(1.5, 6):.1f}pt + {rgb(page.look.accent)}"
        f", radius: {page.between(0, 30):.0f}pt",
    )
    page.fit_headline(plate.inset(plate.width * 0.1, plate.height * 0.15), notice.headline, page.look.ink)
    value = int(page.rng.integers(8, 300)) * 55
    page.rect(amount.inset(amount.width * 0.12, 0), rgb(page.look.second))
    page.fit_headline(
        amount.inset(amount.width * 0.2, amount.height * 0.2),
        [PHRASES.language(notice.japanese).total.format(yen=value, pounds=value / 100)],
        page.look.ink,
    )
    page.fit_text(rest, paragraphs(page, notice.lines[:3], page.look.ink), "center + horizon", 1.1)
