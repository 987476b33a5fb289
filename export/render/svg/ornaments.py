# ruff: noqa: E501 - paths and filters of SVG read worse when broken
"""Small pictures of paths that shops put beside their words, and the things that hold words."""

import math

from export.render.region import Region
from export.render.svg.page import Page, Style

# Each is drawn in a square of 100 by 100; A and B stand for two colours, I for the ink.
PICTURES = {
    "parcel": '<path fill="A" d="M10 32 50 14 90 32V76L50 94 10 76z"/><path fill="B" d="M10 32 50 50 90 32 50 14z"/>'
    '<path stroke="I" stroke-width="2.5" fill="none" d="M50 50V94M30 23 70 41V56"/>',
    "truck": '<rect x="4" y="28" width="56" height="42" rx="4" fill="A"/><path fill="B" d="M62 40H80L95 56V70H62z"/>'
    '<circle cx="24" cy="74" r="10" fill="I"/><circle cx="76" cy="74" r="10" fill="I"/>'
    '<path stroke="I" stroke-width="2" d="M0 84H100"/>',
    "cup": '<path fill="A" d="M18 38H72V66Q72 86 45 86 18 86 18 66z"/>'
    '<path fill="none" stroke="A" stroke-width="7" d="M72 46Q92 44 88 58 84 70 70 68"/>'
    '<path fill="none" stroke="I" stroke-width="3" d="M34 30Q28 22 34 16T34 4M54 30Q48 22 54 16T54 4"/>',
    "flower": "".join(
        f'<ellipse cx="50" cy="26" rx="14" ry="22" fill="A" transform="rotate({a} 50 50)"/>'
        for a in range(0, 360, 60)
    )
    + '<circle cx="50" cy="50" r="13" fill="B"/>',
    "heart": '<path fill="A" d="M50 88C10 58 6 40 12 26 22 8 44 14 50 32 56 14 78 8 88 26 94 40 90 58 50 88z"/>',
    "star": '<path fill="A" d="M50 6 63 37 96 39 70 60 79 93 50 75 21 93 30 60 4 39 37 37z"/>',
    "sprig": '<path fill="none" stroke="I" stroke-width="2" d="M50 98Q46 50 54 4"/>'
    + "".join(
        f'<ellipse cx="{50 + s * 17}" cy="{y}" rx="17" ry="7" fill="A" transform="rotate({-s * 35} {50 + s * 17} {y})"/>'
        for y, s in ((80, 1), (66, -1), (52, 1), (38, -1), (24, 1), (14, -1))
    ),
    "cat": '<path fill="A" d="M20 90Q14 60 24 50L20 18 40 32H60L80 18 76 50Q86 60 80 90z"/>'
    '<circle cx="40" cy="48" r="3.5" fill="I"/><circle cx="60" cy="48" r="3.5" fill="I"/>'
    '<path fill="none" stroke="I" stroke-width="2" d="M44 57Q47 61 50 57 53 61 56 57M8 50 28 53M8 60 28 57M92 50 72 53M92 60 72 57"/>',
    "bag": '<path fill="A" d="M16 34H84L90 94H10z"/>'
    '<path fill="none" stroke="I" stroke-width="4" d="M34 44V24Q34 8 50 8 66 8 66 24V44"/>',
    "letter": '<rect x="6" y="22" width="88" height="60" rx="4" fill="A"/>'
    '<path fill="none" stroke="B" stroke-width="4" d="M8 25 50 56 92 25"/>',
    "megaphone": '<path fill="A" d="M14 42 70 16V84L14 60z"/><path fill="B" d="M24 62H40L46 90H32z"/>'
    '<path stroke="I" stroke-width="4" d="M78 34 92 26M80 50H97M78 66 92 74"/>',
    "warning": '<path fill="A" d="M50 8 96 90H4z"/><path fill="B" d="M46 36H54L52.500 64H47.500z"/><circle cx="50" cy="74" r="5" fill="B"/>',
}


def picture(page: Page, name: str, x: float, y: float, size: float, turn: float = 0) -> None:
    """One of PICTURES in the page's colours, `size` units wide, its upper left corner at (x, y)."""
    look, body = page.look, PICTURES[name]
    for mark, colour in (("A", look.accent), ("B", look.soft), ("I", look.ink)):
        body = body.replace(f'"{mark}"', f'"{colour}"')
    page.add(
        f'<g transform="translate({x:.1f} {y:.1f}) scale({size / 100:.3f}) rotate({turn:.0f} 50 50)">{body}</g>'
    )


def any_picture(page: Page, box: Region) -> None:
    """A picture by chance, as large as the box lets it be, in its middle."""
    size = min(box.width, box.height)
    name = page.pick(sorted(PICTURES))
    picture(
        page,
        name,
        box.x + (box.width - size) / 2,
        box.y + (box.height - size) / 2,
        size,
        page.between(-12, 12),
    )


def rule(page: Page, box: Region, kind: str | None = None) -> None:
    """A dividing line across the middle of a box: plain, dotted, double, waved or with a diamond."""
    y, ink = box.y + box.height / 2, page.look.accent
    kind = kind or page.pick(("plain", "dotted", "double", "wave", "diamond"))
    left, right = box.x, box.x + box.width
    stroke = f'stroke="{ink}" fill="none"'
    if kind == "wave":
        humps = "".join(f"t{box.width / 24:.2f} 0" for _ in range(23))
        page.add(
            f'<path {stroke} stroke-width="4" d="M{left} {y}q{box.width / 48:.2f} -12 {box.width / 24:.2f} 0{humps}"/>'
        )
        return
    dots = (
        'stroke-dasharray="1 14" stroke-linecap="round" stroke-width="6"'
        if kind == "dotted"
        else 'stroke-width="3"'
    )
    page.add(f'<path {stroke} {dots} d="M{left} {y}H{right}"/>')
    if kind == "double":
        page.add(f'<path {stroke} stroke-width="1.5" d="M{left} {y + 8}H{right}"/>')
    if kind == "diamond":
        middle = (left + right) / 2
        page.add(f'<path fill="{ink}" d="M{middle - 14} {y}l14 -14 14 14 -14 14z"/>')


def burst(page: Page, x: float, y: float, radius: float, fill: str, points: int = 16) -> None:
    """A starburst, or with few shallow points a scalloped seal."""
    deep = page.between(0.78, 0.93)
    corners = [
        (x + r * math.cos(a), y + r * math.sin(a))
        for i in range(2 * points)
        for r, a in ((radius * (deep if i % 2 else 1), math.pi * i / points),)
    ]
    page.add(f'<polygon fill="{fill}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}"/>')


def badge(page: Page, words: str, x: float, y: float, radius: float) -> None:
    """A few words on a turned burst or disc."""
    look = page.look
    if page.chance(0.6):
        burst(page, x, y, radius, look.accent, page.pick((10, 14, 20)))
    else:
        page.add(f'<circle cx="{x}" cy="{y}" r="{radius * 0.95}" fill="{look.accent}"/>')
    style = look.head.replace(size=radius * 0.55, fill=look.ground, align="middle")
    page.add(f'<g transform="rotate({page.between(-16, 12):.1f} {x:.1f} {y:.1f})">')
    page.block(Region(x - radius * 0.68, y - radius * 0.5, radius * 1.36, radius), words, style, balance=True)
    page.add("</g>")


def ribbon(page: Page, box: Region, words: str, style: Style) -> None:
    """Words on a band with swallow tails."""
    look, tail, drop = page.look, box.height * 0.8, box.height * 0.18
    for side, x in ((1, box.x), (-1, box.x + box.width)):
        page.add(
            f'<path fill="{look.accent}" opacity="0.7" d="M{x + side * tail * 0.5} {box.y + drop}h{-side * tail}'
            f'l{side * tail * 0.3} {box.height / 2} {-side * tail * 0.3} {box.height / 2}h{side * tail}z"/>'
        )
    page.rect(box, look.accent)
    page.block(
        box.inset(box.height * 0.3, box.height * 0.08), words, style.replace(fill=look.ground, align="middle")
    )


def bubble(page: Page, box: Region, fill: str, edge: str = "none") -> None:
    """A speech bubble over the box, its tail pointing down."""
    x = box.x + box.width * page.between(0.3, 0.7)
    bottom = box.y + box.height
    page.rect(box, fill, min(60.0, box.height / 3), f'stroke="{edge}" stroke-width="4"')
    page.add(f'<path fill="{fill}" stroke="{edge}" stroke-width="4" d="M{x} {bottom - 2}l18 52 30 -52"/>')
    page.add(f'<path stroke="{fill}" stroke-width="6" d="M{x + 2} {bottom - 2}h44"/>')


def tape(page: Page, x: float, y: float, wide: float, turn: float) -> None:
    """A strip of half-transparent masking tape centred on a point, with torn ends."""
    zigzag = "l-6 8 6 8-6 8 6 8-6 8"
    page.add(
        f'<g transform="translate({x:.1f} {y:.1f}) rotate({turn:.1f})" opacity="0.75"><path fill="{page.look.accent}" '
        f'd="M{-wide / 2} -20H{wide / 2}{zigzag}H{-wide / 2}z"/><path stroke="#ffffff" stroke-opacity="0.5" '
        f'stroke-width="8" stroke-dasharray="10 14" d="M{-wide / 2} 0H{wide / 2}"/></g>'
    )


def corners(page: Page, box: Region) -> None:
    """A frame about the box: one line, two, dashes, stitched, or only its corners."""
    ink, kind = (
        page.pick((page.look.accent, page.look.ink)),
        page.pick(("one", "two", "dash", "round", "corner")),
    )
    wide = page.between(2, 9)
    more = f'stroke="{ink}" stroke-width="{wide:.1f}"'
    if kind == "corner":
        for x, y, sx, sy in ((0, 0, 1, 1), (1, 0, -1, 1), (0, 1, 1, -1), (1, 1, -1, -1)):
            page.add(
                f'<path fill="none" {more} d="M{box.x + x * box.width} {box.y + y * box.height + sy * 90}v{-sy * 90}h{sx * 90}"/>'
            )
        return
    page.rect(
        box,
        "none",
        40 if kind == "round" else 0,
        more + (' stroke-dasharray="16 12"' if kind == "dash" else ""),
    )
    if kind == "two":
        page.rect(box.inset(14), "none", 0, f'stroke="{ink}" stroke-width="1.5"')
