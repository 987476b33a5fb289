"""Layouts of notices that are mostly a headline: cards, banners, bubbles, large numbers, upright Japanese."""

from export.render.region import Region
from export.render.svg.ornaments import (
    any_picture,
    badge,
    bubble,
    burst,
    corners,
    picture,
    ribbon,
    rule,
    tape,
)  # fmt: skip
from export.render.svg.page import Page
from export.render.svg.phrases import PHRASES, Notice


def _kicker(page: Page, notice: Notice) -> str:
    return page.pick(PHRASES.language(notice.japanese).labels.notice)


def headline(page: Page, notice: Notice) -> None:
    """A headline of one to three lines over a sentence or two, to the left or centred."""
    align = page.pick(("middle", "middle", "start"))
    top, middle, foot = page.area.rows(page.between(0.2, 1.2), page.between(2, 4), page.between(1.2, 2.5))
    small = page.look.body.replace(align=align)
    if page.chance(0.6):
        page.block(top, _kicker(page, notice), small.replace(size=page.between(26, 50), spacing=0.15), 0.7)
    style = page.look.head.replace(size=page.between(85, 190), align=align)
    page.block(middle, notice.headline, style, balance=True)
    if page.chance(0.5):
        rule(
            page,
            Region(
                foot.x + (foot.width * 0.3 if align == "middle" else 0),
                foot.y,
                foot.width * 0.4,
                foot.height * 0.15,
            ),
        )
    words = "\n".join((notice.subtitle, *notice.lines[: page.pick((0, 1, 2))]))
    page.block(foot.inset(0, foot.height * 0.18), words, small.replace(size=page.between(24, 46)), 0.2)


def sparse(page: Page, notice: Notice) -> None:
    """Few small thin words in much empty space."""
    look, at = page.look, page.pick((0.1, 0.5, 0.5, 0.9))
    align = page.pick(("middle", "start"))
    head = look.head.replace(size=page.between(42, 70), bold=0, spacing=page.between(0.05, 0.3), align=align)
    box = page.area.inset(page.area.width * 0.1, page.area.height * 0.12)
    words = page.block(box, notice.headline, head, at, balance=True)
    below = Region(
        box.x, words.y + words.height + 40, box.width, page.whole.height - words.y - words.height - 75
    )
    if below.height < 90:
        below = Region(box.x, words.y - 170, box.width, 130)
    body = look.body.replace(size=page.between(20, 30), bold=0, align=align, leading=1.9)
    page.block(below, "\n".join((notice.subtitle, *notice.lines[: page.pick((0, 1, 3))])), body, 0)


def card(page: Page, notice: Notice) -> None:
    """A bordered card with the headline above a list."""
    box = page.area
    corners(page, box)
    head, gap, rest = box.inset(50, 40).rows(page.between(1, 1.6), 0.18, page.between(1.8, 2.8))
    page.block(head, notice.headline, page.look.head.replace(size=page.between(66, 110)), balance=True)
    rule(page, gap.inset(gap.width * page.between(0, 0.3), 0))
    mark = page.pick(("・", "■ ", "◆ ", "※", "")) if notice.japanese else page.pick(("- ", "* ", "+ ", ""))
    lines = [mark + line for line in notice.lines[: page.pick((3, 4, 5))]]
    page.block(rest, "\n".join(lines), page.look.body.replace(size=page.between(28, 44), align="start"))


def banner(page: Page, notice: Notice) -> None:
    """A ribbon across the page holds the headline or the kicker; a badge may be stuck on."""
    top, band, rest = page.area.rows(page.between(0.8, 1.6), 1.1, page.between(1.5, 2.4))
    style = page.look.head.replace(size=page.between(70, 110))
    large = page.chance(0.5)
    band = band.inset(40, band.height * 0.08)
    ribbon(page, band, notice.title if large else notice.subtitle, style)
    if large:
        any_picture(page, top.inset(0, 14))
        words = [notice.subtitle, *notice.lines[:2]]
    else:
        page.block(top.inset(0, 10), notice.headline, style.replace(size=140), balance=True)
        words = list(notice.lines[:3])
    foot = rest.inset(30, 30)
    page.block(foot, "\n".join(words), page.look.body.replace(size=page.between(32, 50)), 0.3)


def speech(page: Page, notice: Notice) -> None:
    """A speech bubble above somebody or something that speaks."""
    look = page.look
    said, below = page.area.rows(page.between(2, 3), 1.2)
    said = said.inset(0, 15)
    bubble(page, said, "#ffffff" if look.ink < "#9" else look.soft, look.accent)
    words, more = said.inset(50, 30).rows(1.8, 1)
    page.block(words, notice.headline, look.head.replace(size=page.between(80, 130)), balance=True)
    page.block(more, notice.lines[0], look.body.replace(size=page.between(30, 44)))
    size = min(below.height - 50, 300.0)
    name = page.pick(("cat", "cup", "parcel", "truck", "letter", "bag", "megaphone"))
    picture(page, name, below.x + (below.width - size) * page.between(0.3, 0.7), below.y + 50, size)


def number(page: Page, notice: Notice) -> None:
    """A date or a percentage in the largest type that there is room for."""
    look = page.look
    top, middle, foot = page.area.rows(1, page.between(1.6, 2.6), 1.2)
    figure = look.head.replace(
        size=page.between(220, 420), spacing=0, bold=look.head.bold + 0.02, fill=look.accent
    )
    if page.chance(0.3):
        figure = figure.replace(outline=look.ink, fill=look.ground)
    page.block(middle, notice.number, figure, balance=True)
    page.block(top, notice.title, look.head.replace(size=page.between(50, 84)), 0.6, balance=True)
    words = "\n".join((notice.subtitle, notice.lines[0])) if page.chance(0.6) else notice.subtitle
    page.block(foot, words, look.body.replace(size=page.between(30, 48)), 0.3)


def split(page: Page, notice: Notice) -> None:
    """One part of the page in a strong colour with the headline, the other with the details."""
    look, share = page.look, page.between(0.35, 0.62)
    halves = page.whole.columns if page.chance(0.4) else page.whole.rows
    first, second = halves(share, 1 - share)
    if page.chance(0.3):
        first, second = second, first
    page.rect(first, look.accent)
    page.rect(second, look.ground)
    style = look.head.replace(size=page.between(80, 150), fill=look.ground)
    page.block(first.inset(50), notice.headline, style, balance=True)
    words = "\n".join((notice.subtitle, *notice.lines[: page.pick((1, 2, 3))]))
    align = page.pick(("start", "middle"))
    page.block(second.inset(55), words, look.body.replace(size=page.between(28, 44), align=align))


def _upright_columns(page: Page, box: Region, notice: Notice) -> None:
    head = notice.headline.split("\n")
    longest = max(map(len, head))
    size = min(page.between(70, 130), box.height / (longest * 1.1), box.width * 0.5 / len(head))
    x = box.x + box.width - size * 0.6
    for part in head:
        page.column(x, box.y, part, page.look.head.replace(size=size, spacing=0))
        x -= size * 1.25
    small = page.look.body.replace(size=max(20.0, min(size * 0.42, page.between(26, 38))))
    room = int(box.height * 0.92 / (small.size * 1.08))
    for line in notice.lines:
        for part in [line[i : i + room] for i in range(0, len(line), room)]:
            if x < box.x + small.size * 0.6:
                return
            page.column(x, box.y + box.height * 0.06, part, small)
            x -= small.size * 1.7


def upright(page: Page, notice: Notice) -> None:
    """Japanese from top to bottom, right to left; English as a headline turned along the side."""
    box, look = page.area, page.look
    if page.chance(0.4):
        corners(page, box.inset(-25))
    if notice.japanese:
        _upright_columns(page, box.inset(page.between(20, 90), 40), notice)
        return
    side, rest = box.columns(1, page.between(1.6, 2.6))
    x, y = side.x + side.width / 2, side.y + side.height / 2
    page.add(f'<g transform="rotate(-90 {x:.1f} {y:.1f})">')
    turned = Region(x - side.height / 2, y - side.width / 2, side.height, side.width)
    page.block(turned, notice.headline, look.head.replace(size=page.between(80, 140)), balance=True)
    page.add("</g>")
    words = "\n".join((notice.subtitle, *notice.lines[:3]))
    page.block(rest.inset(30), words, look.body.replace(size=page.between(32, 46), align="start"))


def labels(page: Page, notice: Notice) -> None:
    """Each sentence on a label of its own, stuck on at an angle."""
    look = page.look
    count = page.pick((2, 3, 4))
    head, *bands = page.area.rows(1.5, *[0.9] * count)
    page.block(
        head.inset(0, 12), notice.headline, look.head.replace(size=page.between(80, 140)), balance=True
    )
    for index, band in enumerate(bands):
        box = band.inset(page.between(10, 60), band.height * 0.14)
        fill, ink = page.pick(((look.accent, look.ground), (look.ink, look.ground), (look.soft, look.ink)))
        page.add(
            f'<g transform="rotate({page.between(-3.5, 3.5):.1f} '
            f'{box.x + box.width / 2:.0f} {box.y + box.height / 2:.0f})">'
        )
        page.rect(box, fill, page.pick((0, 14, box.height / 2)))
        style = look.body.replace(size=page.between(30, 48), fill=ink, align="middle")
        page.block(box.inset(30, 10), notice.lines[index], style, balance=True)
        page.add("</g>")


def thanks(page: Page, notice: Notice) -> None:
    """A wreath or an arch of sprigs about the words."""
    look, box = page.look, page.area
    size = min(box.width, box.height) * 0.24
    name, y = page.pick(("sprig", "flower", "heart", "star")), box.y + box.height
    if page.chance(0.5):
        corners(page, box.inset(-15))
    right, low = box.x + box.width - size, y - size
    for x, top, turn in ((box.x, box.y, 135), (right, low, -45), (box.x, low, 45), (right, box.y, -135)):
        if page.chance(0.75):
            picture(page, name, x, top, size, turn)
    words = box.inset(box.width * 0.08, size * 0.85)
    head, under = words.rows(1.7, 1)
    page.block(head, notice.headline, look.head.replace(size=page.between(90, 160)), 0.6, balance=True)
    page.block(
        under, notice.subtitle + "\n" + notice.lines[0], look.body.replace(size=page.between(26, 40)), 0.3
    )


def aslant(page: Page, notice: Notice) -> None:
    """A band runs aslant over the page with the headline on it, as on sold-out and sale pages."""
    look, turn = page.look, page.pick((-18, -10, -7, 8, 12))
    x, y, tall = 500.0, page.height / 2, min(page.height * 0.34, 330.0)
    page.add(f'<g transform="rotate({turn} {x} {y:.0f})">')
    page.rect(Region(-300, y - tall / 2, 1600, tall), look.accent)
    if page.chance(0.5):
        page.rect(
            Region(-300, y - tall / 2 + 12, 1600, tall - 24),
            "none",
            0,
            f'stroke="{look.ground}" stroke-width="4"',
        )
    style = look.head.replace(size=page.between(100, 190), fill=look.ground)
    page.block(Region(90, y - tall * 0.4, 820, tall * 0.8), notice.title, style, balance=True)
    page.add("</g>")
    room = page.area.height / 2 - tall / 2 - 110
    if room > 60:
        body = look.body.replace(size=page.between(32, 50))
        page.block(Region(page.area.x, page.area.y, page.area.width, room), notice.subtitle, body, 0.3)
        page.block(
            Region(page.area.x, page.area.y + page.area.height - room, page.area.width, room),
            notice.lines[0],
            body,
            0.8,
        )


def seal(page: Page, notice: Notice) -> None:
    """The headline in a large burst or disc in the middle of the page."""
    look, tall = page.look, min(page.area.height, page.area.width)
    x, y = 500.0, page.height / 2
    burst(page, x, y, tall * 0.5, look.accent, page.pick((8, 16, 24, 60)))
    box = Region(x - tall * 0.33, y - tall * 0.3, tall * 0.66, tall * 0.6)
    head, under = box.rows(2, 1)
    page.block(
        head,
        notice.headline,
        look.head.replace(size=page.between(90, 160), fill=look.ground),
        0.6,
        balance=True,
    )
    page.block(
        under,
        notice.subtitle,
        look.body.replace(size=page.between(26, 40), fill=look.ground),
        0.3,
        balance=True,
    )
    if page.area.height > tall * 1.25:
        foot = Region(
            page.area.x, y + tall * 0.5, page.area.width, page.area.y + page.area.height - y - tall * 0.5
        )
        page.block(foot, notice.lines[0], look.body.replace(size=page.between(30, 44)))


def taped(page: Page, notice: Notice) -> None:
    """A scrap of paper held by masking tape, a little turned."""
    look = page.look
    box = page.area.inset(page.between(10, 60), page.between(20, 60))
    turn = page.between(-4, 4)
    page.add(f'<g transform="rotate({turn:.1f} 500 {page.height / 2:.0f})">')
    page.rect(Region(box.x + 8, box.y + 10, box.width, box.height), "#000000", 0, 'opacity="0.15"')
    page.rect(box, page.pick(("#fffdf7", "#fff8c9", "#f4efe4")))
    ink = look.ink if look.ink < "#9" else "#3b3530"
    head, rest = box.inset(60, 55).rows(1, 1.4)
    page.block(head, notice.headline, look.head.replace(size=page.between(70, 120), fill=ink), balance=True)
    words = "\n".join(notice.lines[: page.pick((1, 2, 3))])
    page.block(rest, words, look.body.replace(size=page.between(30, 46), fill=ink), 0.2)
    tape(page, 500 + page.between(-200, 200), box.y, page.between(150, 280), page.between(-8, 8))
    page.add("</g>")


def stamped(page: Page, notice: Notice) -> None:
    """Headline to the left, details under it, and a badge in a corner that is left free for it."""
    look, radius = page.look, page.between(90, 130)
    head, rest = page.area.rows(1.2, 1)
    align = "start"
    page.block(
        head.columns(4, 1.2)[0],
        notice.headline,
        look.head.replace(size=page.between(90, 170), align=align),
        0.6,
    )
    body = look.body.replace(size=page.between(28, 44), align=align)
    page.block(rest.columns(4, 0.3)[0], "\n".join((notice.subtitle, *notice.lines[:2])), body, 0.3)
    badge(
        page,
        notice.number if notice.subject == "sale" else _kicker(page, notice),
        960 - radius,
        radius + 40,
        radius,
    )
