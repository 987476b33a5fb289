"""Layouts of notices that are mostly small words: walls of text, lists, tables, calendars, screens."""

from export.render.region import Region
from export.render.svg.ornaments import any_picture, corners, picture, rule
from export.render.svg.page import Page
from export.render.svg.phrases import PHRASES, Notice


def wall(page: Page, notice: Notice) -> None:
    """A wall of small words under a small headline."""
    look, align = page.look, page.pick(("start", "start", "middle"))
    head, rest = page.area.rows(page.between(0.5, 0.9), 3.2)
    page.block(head, notice.title, look.head.replace(size=page.between(44, 76), align=align))
    gap = page.pick(("\n", "\n\n", "\n"))
    page.block(rest, gap.join(notice.lines), look.body.replace(size=page.between(26, 46), align=align), 0.1)


def numbered(page: Page, notice: Notice) -> None:
    """Numbered discs with a sentence each, and sometimes arrows between them."""
    look, count = page.look, page.pick((3, 3, 4))
    head, *bands = page.area.rows(1.1, *[1] * count)
    page.block(head, notice.title, look.head.replace(size=page.between(56, 90)), 0.3)
    for index, band in enumerate(bands):
        radius = min(band.height * 0.36, 62)
        x, y = band.x + radius, band.y + band.height / 2
        page.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{look.accent}"/>')
        figure = look.head.replace(size=radius * 1.1, fill=look.ground, spacing=0)
        page.line(x, y + radius * 0.4, str(index + 1), figure)
        if index and page.chance(0.8):
            page.add(
                f'<path stroke="{look.accent}" stroke-width="5" '
                f'd="M{x:.1f} {y - radius:.1f}V{y - band.height + radius:.1f}"/>'
            )
        words = Region(x + radius + 30, band.y + 8, band.width - 2 * radius - 30, band.height - 16)
        page.block(words, notice.lines[index], look.body.replace(size=page.between(32, 46), align="start"))


def fees(page: Page, notice: Notice) -> None:
    """A table of postage by area."""
    labels = PHRASES.language(notice.japanese).labels
    head, rest = page.area.rows(0.8, page.between(2.6, 3.6))
    title = labels.fees if page.chance(0.6) else notice.title
    page.block(head, title, page.look.head.replace(size=page.between(50, 84)))
    rows = fee_rows(page, notice, page.pick((4, 5, 6, 8)))
    table(page, rest, rows, page.between(30, 46))


def fee_rows(page: Page, notice: Notice, count: int) -> list[tuple[str, str]]:
    """The head of a table of postage, and `count` areas with what each costs."""
    words = PHRASES.language(notice.japanese)
    labels = words.labels
    lowest = int(page.rng.integers(18, 60)) * 10
    rows = [(labels.area, labels.fee)]
    for index, region in enumerate(words.regions[:count]):
        cost = lowest + index * int(page.rng.integers(2, 16)) * 10
        rows.append((region, labels.amount.format(yen=cost, pounds=cost / 100)))
    return rows


def table(page: Page, box: Region, rows: list[tuple[str, str]], size: float) -> None:
    """Rows of two cells that fill a box, the first as a head."""
    look = page.look
    body = look.body.replace(size=size)
    for index, (band, row) in enumerate(zip(box.rows(*[1] * len(rows)), rows, strict=True)):
        fill = look.accent if not index else (look.soft if index % 2 else look.ground)
        page.rect(band, fill, 0, f'stroke="{look.ink}" stroke-width="{1.5 if page.chance(0.5) else 0}"')
        style = body if index else body.replace(fill=look.ground)
        for cell, text in zip(band.columns(1.2, 1), row, strict=True):
            page.block(cell.inset(20, 4), text, style)


def calendar(page: Page, notice: Notice) -> None:
    """A month with the closed days marked."""
    look, words = page.look, PHRASES.language(notice.japanese).labels
    first = int(page.rng.integers(7))
    last = 28 if notice.month == 2 else 30 + (notice.month in {1, 3, 5, 7, 8, 10, 12})
    head, days, foot = page.area.rows(0.9, 3.2, 0.6)
    title = f"{notice.month}月" if notice.japanese else f"{notice.month:02d} / 20{page.pick((24, 25, 26))}"
    if page.chance(0.6):
        title += "  " + notice.title
    page.block(head, title, look.head.replace(size=page.between(60, 110)), 0.4)
    grid = days.rows(*[1] * 7)
    size = min(days.width / 7, days.height / 7)
    body = look.body.replace(size=size * page.between(0.36, 0.5), align="middle")
    for cell, name in zip(grid[0].columns(*[1] * 7), words.days, strict=True):
        page.block(cell, name, body.replace(fill=look.accent))
    weekly = int(page.rng.integers(9))
    mark = page.pick(("disc", "ring", "square", "cross"))
    for day in range(1, last + 1):
        row, column = divmod(first + day - 1, 7)
        cell = grid[row + 1].columns(*[1] * 7)[column]
        off = column == weekly or day in notice.away
        if off:
            _mark_day(page, cell, size, mark)
        page.block(
            cell, str(day), body.replace(fill=look.ground) if off and mark in ("disc", "square") else body
        )
    page.block(
        foot,
        f"● = {words.closed}   {notice.subtitle}"
        if notice.japanese
        else f"{words.closed}: {notice.subtitle}",
        body.replace(size=34),
    )


def _mark_day(page: Page, cell: Region, size: float, mark: str) -> None:
    x, y, radius, ink = cell.x + cell.width / 2, cell.y + cell.height / 2, size * 0.42, page.look.accent
    if mark == "square":
        page.rect(cell.inset(3), ink)
    elif mark == "cross":
        wide = 2 * radius
        page.add(
            f'<path stroke="{ink}" stroke-width="5" '
            f'd="M{x - radius} {y - radius}l{wide} {wide}m0 {-wide}l{-wide} {wide}"/>'
        )
    else:
        shown = f'fill="{ink}"' if mark == "disc" else f'fill="none" stroke="{ink}" stroke-width="5"'
        page.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {shown}/>')


def memo(page: Page, notice: Notice) -> None:
    """A screenshot of a phone's memo or of a plain post: status bar, back arrow, words to the left."""
    look, dark = page.look, page.chance(0.25)
    paper, ink = ("#1c1c1e", "#f2f2f2") if dark else (page.pick(("#ffffff", "#fdfbf3", "#f2f2f7")), "#1d1d1f")
    tint = page.pick(("#e0a100", "#0a7aff", look.accent))
    page.rect(page.whole, paper)
    small = look.body.replace(size=28, fill=ink, bold=0.02)
    page.line(70, 55, f"{page.pick((7, 9, 13, 21))}:{int(page.rng.integers(10, 60))}", small)
    page.rect(Region(890, 34, 56, 26), "none", 8, f'stroke="{ink}" stroke-width="3"')
    page.rect(Region(894, 38, page.between(12, 48), 18), ink, 5)
    page.add(f'<path fill="none" stroke="{tint}" stroke-width="6" d="M66 104l-22 24 22 24"/>')
    box = Region(60, 190, 880, page.height - 250)
    words = page.block(
        box.rows(1, 3)[0],
        notice.title,
        small.replace(size=page.between(50, 66), bold=0.04, align="start", fill=ink),
        0,
    )
    rest = Region(60, words.y + words.height + 40, 880, page.height - words.y - words.height - 90)
    body = small.replace(size=page.between(32, 42), bold=0, align="start", leading=1.55)
    page.block(rest, page.pick(("\n", "\n\n")).join(notice.lines[: page.pick((3, 5, 7))]), body, 0)


def notebook(page: Page, notice: Notice) -> None:
    """Ruled paper with holes; the words stand on the lines."""
    look, gap = page.look, page.between(62, 92)
    page.rect(page.whole, "#fffefa")
    for y in range(1, int(page.height / gap)):
        page.add(f'<path stroke="#9db9d6" stroke-width="2" d="M0 {(y + 0.6) * gap:.1f}H1000"/>')
    page.add('<path stroke="#e39a9a" stroke-width="3" d="M130 0V2000"/>')
    for y in range(60, int(page.height), 180):
        page.add(f'<circle cx="60" cy="{y}" r="20" fill="{look.soft}"/>')
    ink = look.ink if look.ink < "#9" else "#303040"
    style = look.body.replace(fill=ink, align="start", size=gap * 0.55, leading=gap / (gap * 0.55))
    words = page.whole.inset(0, gap * 0.6)
    head = page.block(
        Region(170, gap * 0.75, 780, gap * 2),
        notice.title,
        look.head.replace(size=gap * 0.8, fill=ink, align="start"),
        0.5,
    )
    room = int((words.height - gap * 2.6) / gap)
    box = Region(170, gap * 3.05, 770, room * gap)
    text = notice.lines[0]
    for line in notice.lines[1:]:
        if len(text) + len(line) < room * (18 if notice.japanese else 34):
            text += "\n" + line
    page.block(box, text, style, 0)
    if page.chance(0.5):
        page.add(
            f'<path stroke="{look.accent}" stroke-width="{gap * 0.3:.0f}" opacity="0.35" '
            f'd="M{head.x:.0f} {head.y + head.height * 0.85:.0f}h{head.width:.0f}"/>'
        )


def yes_no(page: Page, notice: Notice) -> None:
    """Two columns: what is done here and what is not."""
    look, words = page.look, PHRASES.language(notice.japanese).labels
    head, rest = page.area.rows(1, page.between(2.2, 3))
    page.block(head, notice.title, look.head.replace(size=page.between(60, 100)), 0.4, balance=True)
    parts = rest.columns(1, 1) if page.whole.height < 1300 and page.chance(0.6) else rest.rows(1, 1)
    size, variant = page.between(28, 42), page.pick((0, 1))
    for index, (part, titles) in enumerate(zip(parts, (words.yes, words.no), strict=True)):
        box = part.inset(12)
        edge = (look.accent, look.ink)[index]
        page.rect(box, "none", page.pick((0, 20)), f'stroke="{edge}" stroke-width="5"')
        title, text = box.rows(0.8, 3)
        page.rect(title, edge)
        page.block(title.inset(16, 8), titles[variant], look.head.replace(size=46, fill=look.ground))
        lines = "\n".join(notice.lines[index::2][:3])
        page.block(text.inset(28, 18), lines, look.body.replace(size=size, align="start"))


def coupon(page: Page, notice: Notice) -> None:
    """A voucher with a torn-off stub."""
    look = page.look
    tall = min(page.area.height, page.between(420, 620))
    box = Region(page.area.x, (page.height - tall) / 2, page.area.width, tall)
    page.rect(
        box,
        page.pick(("#ffffff", look.soft)) if look.ink < "#9" else look.soft,
        24,
        f'stroke="{look.accent}" stroke-width="6"',
    )
    main, stub = box.columns(2.6, 1)
    page.add(
        f'<path stroke="{look.accent}" stroke-width="5" stroke-dasharray="14 12" '
        f'd="M{stub.x:.0f} {box.y:.0f}v{box.height:.0f}"/>'
    )
    for y in (box.y, box.y + box.height):
        page.add(f'<circle cx="{stub.x:.0f}" cy="{y:.0f}" r="30" fill="{look.ground}"/>')
    top, middle, foot = main.inset(40, 30).rows(0.7, 1.5, 1)
    page.block(top, PHRASES.language(notice.japanese).labels.coupon, look.body.replace(size=44))
    page.block(middle, notice.title, look.head.replace(size=130, fill=look.accent), balance=True)
    page.block(foot, notice.lines[0], look.body.replace(size=page.between(26, 38)))
    page.block(stub.inset(24, 60), notice.number, look.head.replace(size=110))
    if page.area.height - tall > 300:
        page.block(
            Region(box.x, page.area.y, box.width, box.y - page.area.y - 30),
            notice.shop,
            look.head.replace(size=70),
        )
        low = box.y + box.height + 30
        page.block(
            Region(box.x, low, box.width, page.area.y + page.area.height - low),
            notice.lines[1],
            look.body.replace(size=40),
        )


def poster(page: Page, notice: Notice) -> None:
    """A column in the middle: picture, headline, line, box of details, name of the shop."""
    look = page.look
    top, head, details, foot = page.area.rows(page.between(0.7, 1.4), 1.2, page.between(1, 1.6), 0.4)
    any_picture(page, top.inset(0, 12))
    page.block(head, notice.headline, look.head.replace(size=page.between(70, 120)), balance=True)
    inner = details.inset(page.between(0, 60), 12)
    page.rect(inner, look.soft, page.pick((0, 20, 50)))
    words = "\n".join(notice.lines[: page.pick((2, 3))])
    page.block(inner.inset(34, 20), words, look.body.replace(size=page.between(28, 42)))
    page.block(foot.inset(0, 8), notice.shop, look.body.replace(size=36, spacing=0.15), 0.9)


def post(page: Page, notice: Notice) -> None:
    """A post of a social network: round portrait and name above, the words, icons below."""
    look = page.look
    page.rect(page.whole, "#ffffff")
    page.add(f'<circle cx="90" cy="85" r="45" fill="{look.accent}"/>')
    dark = look.body.replace(fill="#222222", align="start")
    page.line(155, 96, notice.shop, dark.replace(size=34, bold=0.04))
    box = Region(0, 165, 1000, page.height - 290)
    page.rect(box, look.ground)
    head, rest = box.inset(70, 45).rows(1.5, 1)
    page.block(head, notice.headline, look.head.replace(size=page.between(80, 140)), balance=True)
    page.block(
        rest, "\n".join((notice.subtitle, notice.lines[0])), look.body.replace(size=page.between(30, 44))
    )
    low = page.height - 98
    picture(page, "heart", 40, low, 62)
    picture(page, "letter", 130, low, 62)
    page.line(
        960, low + 44, PHRASES.language(notice.japanese).labels.more, dark.replace(size=28, align="end")
    )


def facts(page: Page, notice: Notice) -> None:
    """Term and definition in rows between rules, as a shop's terms are set."""
    look, count = page.look, page.pick((3, 4, 5))
    head, *bands = page.area.rows(page.between(0.9, 1.3), *[1] * count)
    page.block(head, notice.title, look.head.replace(size=page.between(50, 84), align="start"), 0.5)
    size = page.between(28, 40)
    for index, band in enumerate(bands):
        rule(page, Region(band.x, band.y - 4, band.width, 8), "plain")
        term, words = band.inset(0, 12).columns(0.7, 3)
        page.block(
            term.inset(6, 0),
            f"{index + 1:02d}",
            look.head.replace(size=size * 1.4, fill=look.accent, align="start"),
        )
        page.block(words, notice.lines[index], look.body.replace(size=size, align="start"))


def framed(page: Page, notice: Notice) -> None:
    """A formal announcement: frame, kicker, headline, paragraph, name to the right."""
    look = page.look
    corners(page, page.area.inset(-20))
    kicker, head, rest, foot = page.area.inset(40, 30).rows(0.5, 1, page.between(2, 2.6), 0.5)
    small = look.body.replace(size=page.between(28, 38))
    page.block(kicker, page.pick(PHRASES.language(notice.japanese).labels.notice), small.replace(spacing=0.3))
    page.block(head, notice.title, look.head.replace(size=page.between(56, 84)), balance=True)
    join = "" if notice.japanese and page.chance(0.5) else "\n"
    ends = ("。", "\uff01", "?", "◎")
    lines = [line if line.endswith(ends) or not notice.japanese else line + "。" for line in notice.lines[:4]]
    page.block(rest, join.join(lines), small.replace(align="start", leading=1.7))
    page.block(foot, notice.shop, small.replace(align="end"))
