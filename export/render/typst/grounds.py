"""What lies under and round the words: colours, patterns, photos, frames, stickers."""

import math
from collections.abc import Callable

import numpy as np

from export.render.region import Region
from export.render.typst.fonts import TypstFonts
from export.render.typst.page import Look, Page

# ground, second, ink, accent
PALETTES = (
    ("#ffffff", "#f2f2f2", "#1d1d1f", "#e60033"), ("#fdf6ec", "#f3dfc1", "#5b4636", "#c9803f"),
    ("#fce9ee", "#f7c9d4", "#8a4a5c", "#e5738f"), ("#e8f3ee", "#c3e0d2", "#2f5d50", "#4f9d82"),
    ("#e9f1fb", "#c5dbf4", "#2b4a78", "#4a86cf"), ("#fffbe0", "#ffeb8a", "#5a4a00", "#f39800"),
    ("#1f2a44", "#2c3b5e", "#f4ead2", "#d4af5a"), ("#151515", "#2a2a2a", "#f5f5f5", "#ff4b3e"),
    ("#d7000f", "#b3000c", "#ffffff", "#ffe100"), ("#ffe100", "#ffd000", "#1a1a1a", "#e60012"),
    ("#cdb08a", "#bb9a70", "#3d2b1a", "#7a3b2e"), ("#efe9f7", "#d6c7ec", "#4e3b73", "#9673c9"),
    ("#f5f1ea", "#e2d8c9", "#6b6256", "#a08c74"), ("#20352b", "#2d4a3c", "#e9efe3", "#d8a25e"),
    ("#ff6f61", "#ff8f7f", "#ffffff", "#2b3a55"), ("#00a0a0", "#27b5b0", "#ffffff", "#fff04d"),
    ("#f6f6f4", "#e6e6e1", "#444444", "#8fa89b"), ("#ffffff", "#ffe4ec", "#e0457b", "#ff8fb1"),
    ("#ffffff", "#dff1ff", "#0b5fa5", "#ff7a00"), ("#3b1f3a", "#52304f", "#f9e6f0", "#f28cb1"),
    ("#eaf7fb", "#bfe6f0", "#17525f", "#f2789f"), ("#fff7f0", "#ffd9b8", "#7b3f00", "#38a169"),
    ("#0f4c5c", "#166478", "#fdf0d5", "#fb8b24"), ("#f4f0d8", "#dfe3b4", "#4a5d23", "#b5513c"),
)  # fmt: skip


def _tinted(colour: str, rng: np.random.Generator) -> str:
    channels = [int(colour[i : i + 2], 16) + int(rng.integers(-7, 8)) for i in (1, 3, 5)]
    return "#" + "".join(f"{min(255, max(0, value)):02x}" for value in channels)


def random_look(rng: np.random.Generator, fonts: TypstFonts, japanese: bool) -> Look:
    """A palette and a pair of fonts."""
    ground, second, ink, accent = PALETTES[int(rng.integers(len(PALETTES)))]
    families = fonts.japanese if japanese else fonts.latin
    head, body = (families[int(rng.integers(len(families)))] for _ in range(2))
    if rng.random() < 0.5:
        body = head
    shades = (_tinted(ground, rng), _tinted(second, rng), ink, _tinted(accent, rng))
    return Look(*shades, head_font=head, body_font=body, heavy=bool(rng.random() < 0.6))


def rgb(colour: str, opacity: float = 1) -> str:
    """The colour as Typst code."""
    return f'rgb("{colour}{round(opacity * 255):02x}")'


def _tiled(page: Page, side: float, content: str) -> None:
    tile = f"tiling(size: ({side:.1f}pt, {side:.1f}pt), {{ {content} }})"
    page.rect(page.whole, tile)


def _dots(page: Page) -> None:
    side, share = page.between(14, 90), page.between(0.1, 0.34)
    dot = f"circle(radius: {side * share:.1f}pt, fill: {rgb(page.look.second)})"
    places = [(0.25, 0.25), (0.75, 0.75)] if page.chance(0.6) else [(0.5, 0.5)]
    spots = [
        f"place(dx: {side * (x - share):.1f}pt, dy: {side * (y - share):.1f}pt, {dot})" for x, y in places
    ]
    _tiled(page, side, "; ".join(spots))


def _stripes(page: Page) -> None:
    wide = page.between(8, 70)
    colour = rgb(page.look.second)
    turn = float(page.rng.choice([0, 90, 45, -45, 30]))
    diagonal = math.hypot(page.width, page.height)
    count = int(diagonal / wide / 2) + 1
    bars = "".join(
        f"#place(top + left, dx: {2 * i * wide:.1f}pt, "
        f"rect(width: {wide:.1f}pt, height: {diagonal:.0f}pt, fill: {colour}))"
        for i in range(count)
    )
    x, y = (page.width - diagonal) / 2, (page.height - diagonal) / 2
    page.place(x, y, f"rotate({turn}deg, box(width: {diagonal:.0f}pt, height: {diagonal:.0f}pt)[{bars}])")


def _gingham(page: Page) -> None:
    side = page.between(16, 80)
    half, colour = side / 2, rgb(page.look.second, 0.6)
    across = f"place(rect(width: {side:.1f}pt, height: {half:.1f}pt, fill: {colour}))"
    _tiled(page, side, f"{across}; place(rect(width: {half:.1f}pt, height: {side:.1f}pt, fill: {colour}))")


def _squared_paper(page: Page) -> None:
    side = page.between(14, 44)
    line = f"stroke: {page.between(0.4, 1.6):.1f}pt + {rgb(page.look.second)}"
    upright = (
        "" if page.chance(0.4) else f"; place(line(start: (0pt, 0pt), end: (0pt, {side:.1f}pt), {line}))"
    )
    _tiled(page, side, f"place(line(start: (0pt, 0pt), end: ({side:.1f}pt, 0pt), {line})){upright}")


def _waves(page: Page) -> None:
    """Seigaiha: rows of concentric circles, each row over the one before."""
    side = page.between(36, 100)
    pale, dark = rgb(page.look.ground), rgb(page.look.second)
    rings = [(1.0, dark), (0.86, pale), (0.6, dark), (0.46, pale), (0.22, dark)]
    spots = []
    for x, y in ((0, 0.5), (1, 0.5), (0.5, 0.75), (0, 1.0), (1, 1.0), (0.5, 1.25), (0, 1.5), (1, 1.5)):
        for share, colour in rings:
            radius = side * share / 2
            left, top = side * x - radius, side * (y - 0.25) - radius
            spots.append(
                f"place(dx: {left:.1f}pt, dy: {top:.1f}pt, circle(radius: {radius:.1f}pt, fill: {colour}))"
            )
    tile = f"tiling(size: ({side:.1f}pt, {side / 2:.1f}pt), {{ {'; '.join(spots)} }})"
    page.rect(page.whole, tile)


def _gradient(page: Page) -> None:
    far = page.look.second if page.chance(0.7) else page.look.ground
    stops = f"{rgb(page.look.ground)}, {rgb(far)}"
    if page.chance(0.35):
        page.rect(page.whole, f"gradient.radial({stops}, center: (50%, 40%), radius: 75%)")
    else:
        page.rect(page.whole, f"gradient.linear({stops}, angle: {int(page.rng.integers(360))}deg)")


def _blobs(page: Page) -> None:
    for _ in range(int(page.rng.integers(2, 7))):
        w, h = page.between(0.25, 0.8) * page.width, page.between(0.2, 0.6) * page.height
        x = (
            page.between(-0.3, 0.1) * page.width
            if page.chance(0.5)
            else page.width - w * page.between(0.4, 0.9)
        )
        y = page.between(-0.2, 0.9) * page.height
        colour = rgb(page.look.second if page.chance(0.7) else page.look.accent, page.between(0.25, 0.8))
        shape = f"ellipse(width: {w:.0f}pt, height: {h:.0f}pt, fill: {colour})"
        page.place(x, y, f"rotate({page.between(-60, 60):.0f}deg, {shape})")


def _confetti(page: Page) -> None:
    for _ in range(int(page.rng.integers(20, 120))):
        side = page.between(4, 20)
        colour = rgb(page.look.second if page.chance(0.6) else page.look.accent, 0.7)
        shapes = (
            f"rect(width: {side:.0f}pt, height: {side * 0.5:.0f}pt, fill: {colour})",
            f"circle(radius: {side / 2:.0f}pt, fill: {colour})",
            f"polygon.regular(size: {side:.0f}pt, vertices: {int(page.rng.integers(3, 6))}, fill: {colour})",
        )
        x, y = page.between(0, page.width), page.between(0, page.height)
        page.place(x, y, f"rotate({int(page.rng.integers(360))}deg, {shapes[int(page.rng.integers(3))]})")


def _rays(page: Page) -> None:
    x, y = page.width * page.between(0.3, 0.7), page.height * page.between(0.3, 1.0)
    count, radius = 2 * int(page.rng.integers(7, 18)), 2 * math.hypot(page.width, page.height)
    for i in range(0, count, 2):
        ends = [
            (x + radius * math.cos(a), y + radius * math.sin(a))
            for a in (i * math.tau / count, (i + 1) * math.tau / count)
        ]
        _polygon(page, [(x, y), *ends], page.look.second)


def _polygon(page: Page, corners: list[tuple[float, float]], colour: str, opacity: float = 1) -> None:
    points = ", ".join(f"({x:.1f}pt, {y:.1f}pt)" for x, y in corners)
    page.place(0, 0, f"polygon(fill: {rgb(colour, opacity)}, {points})")


def _halves(page: Page) -> None:
    w, h = page.width, page.height
    low, high = page.between(0.2, 0.9) * h, page.between(0.2, 0.9) * h
    _polygon(page, [(0, low), (w, high), (w, h), (0, h)], page.look.second)
    if page.chance(0.4):
        _polygon(page, [(0, 0), (w * 0.35, 0), (0, h * 0.25)], page.look.accent, 0.7)


def _photo(page: Page) -> None:
    """A blurred photo under a wash of the ground's colour; a gradient without photos."""
    if not page.photo(page.whole, blur=page.between(0.025, 0.06)):
        _gradient(page)
    page.rect(page.whole, rgb(page.look.ground, page.between(0.4, 0.85)))


def _plain(page: Page) -> None:
    if page.chance(0.3):
        page.rect(Region(0, 0, page.width, page.height * page.between(0.05, 0.2)), rgb(page.look.second))


GROUNDS: tuple[tuple[Callable[[Page], None], float], ...] = (
    (_plain, 0.26), (_gradient, 0.1), (_photo, 0.14), (_dots, 0.06), (_stripes, 0.08), (_gingham, 0.05),
    (_squared_paper, 0.06), (_waves, 0.03), (_blobs, 0.08), (_confetti, 0.05), (_rays, 0.04), (_halves, 0.05),
)  # fmt: skip
BUSY = (_photo, _dots, _stripes, _gingham, _waves, _confetti, _rays)


def lay_ground(page: Page) -> bool:
    """Draw a ground; True where words need a panel under them to be read with ease."""
    ground = GROUNDS[int(page.rng.choice(len(GROUNDS), p=[share for _, share in GROUNDS]))][0]
    ground(page)
    return ground in BUSY


def panel(page: Page, at: Region, opacity: float = 1) -> None:
    """A card in the ground's colour: square or rounded, outlined or not, sometimes with a shadow."""
    radius = page.between(0, 30) if page.chance(0.6) else 0
    style = f", radius: {radius:.0f}pt"
    if page.chance(0.3):
        page.rect(Region(at.x + 7, at.y + 8, at.width, at.height), rgb("#000000", 0.2), style)
    if page.chance(0.4):
        style += f", stroke: {page.between(1, 6):.1f}pt + {rgb(page.look.accent)}"
    page.rect(at, rgb(page.look.ground, opacity), style)


def frame(page: Page) -> None:
    """A border: lines, dashes, corners, dots or bunting."""
    colour = rgb(page.look.accent if page.chance(0.6) else page.look.ink)
    gap, thick = page.between(8, 26), page.between(1, 7)
    inner = page.whole.inset(gap)
    kind = int(page.rng.integers(6))
    if kind == 0:
        page.rect(inner, style=f", stroke: {thick:.1f}pt + {colour}, radius: {page.between(0, 24):.0f}pt")
    elif kind == 1:
        page.rect(inner, style=f", stroke: {thick / 2:.1f}pt + {colour}")
        page.rect(inner.inset(6), style=f", stroke: {thick / 4:.1f}pt + {colour}")
    elif kind == 2:
        dash = "dashed" if page.chance(0.5) else "dotted"
        page.rect(
            inner, style=f', radius: 8pt, stroke: (paint: {colour}, thickness: {thick:.1f}pt, dash: "{dash}")'
        )
    elif kind == 3:
        _corners(page, inner, colour, thick)
    elif kind == 4:
        page.rect(page.whole, style=f", stroke: {page.between(14, 44):.0f}pt + {colour}")
    else:
        _bunting(page)


def _corners(page: Page, inner: Region, colour: str, thick: float) -> None:
    arm = page.between(40, 120)
    for x, dx in ((inner.x, arm), (inner.x + inner.width, -arm)):
        for y, dy in ((inner.y, arm), (inner.y + inner.height, -arm)):
            for end in ((x + dx, y), (x, y + dy)):
                ends = f"start: ({x:.0f}pt, {y:.0f}pt), end: ({end[0]:.0f}pt, {end[1]:.0f}pt)"
                page.place(0, 0, f"line({ends}, stroke: {thick:.1f}pt + {colour})")


def _bunting(page: Page) -> None:
    wide = page.width / int(page.rng.integers(7, 16))
    for i in range(int(page.width / wide) + 1):
        colour = page.look.accent if i % 2 else page.look.second
        _polygon(page, [(i * wide, 0), ((i + 1) * wide, 0), ((i + 0.5) * wide, wide * 0.9)], colour)


def burst(page: Page, x: float, y: float, radius: float, colour: str) -> None:
    """A star-edged seal centred at x, y."""
    points, depth = int(page.rng.integers(10, 26)), page.between(0.75, 0.92)
    corners = []
    for i in range(2 * points):
        distance = radius if i % 2 else radius * depth
        corners.append(
            (x + distance * math.cos(i * math.pi / points), y + distance * math.sin(i * math.pi / points))
        )
    _polygon(page, corners, colour)


def bear(page: Page, x: float, y: float, side: float) -> None:
    """A round-faced animal of circles, `side` wide, its upper left corner at x, y."""
    fur, ink = str(page.rng.choice(["#c8986b", "#f6efe4", "#8d8d8d", "#e9b872", "#ffffff"])), rgb("#3a2a20")

    def disc(cx: float, cy: float, radius: float, fill: str, squash: float = 1) -> None:
        left, top = x + side * (cx - radius), y + side * (cy - radius * squash)
        size = f"width: {2 * radius * side:.1f}pt, height: {2 * radius * squash * side:.1f}pt"
        page.place(left, top, f"ellipse({size}, fill: {fill}, stroke: {side * 0.015:.1f}pt + {ink})")

    ears = page.between(0.1, 0.17)
    for cx in (0.2, 0.8):
        disc(cx, 0.2, ears, rgb(fur), page.between(0.9, 1.6))
    disc(0.5, 0.5, 0.43, rgb(fur), 0.85)
    for cx in (0.33, 0.67):
        disc(cx, 0.45, 0.03, ink, 1.3)
    disc(0.5, 0.62, 0.14, rgb("#fff6ea"), 0.75)
    disc(0.5, 0.57, 0.035, ink, 0.7)
    for cx in (0.22, 0.78):
        disc(cx, 0.6, 0.055, rgb("#f4a9a8"), 0.6)


def sticker(page: Page) -> None:
    """A seal, a tape strip, an animal or a heart near one corner."""
    side = page.between(50, 110)
    x = page.between(6, 40) if page.chance(0.5) else page.width - side - page.between(6, 40)
    y = page.between(6, 30) if page.chance(0.5) else page.height - side - page.between(6, 30)
    kind = int(page.rng.integers(4))
    if kind == 0:
        burst(page, x + side / 2, y + side / 2, side / 2, page.look.accent)
    elif kind == 1:
        tape = (
            f"rect(width: {side * 1.6:.0f}pt, height: {side * 0.3:.0f}pt, fill: {rgb(page.look.accent, 0.6)})"
        )
        page.place(x - side * 0.2, y, f"rotate({page.between(-40, 40):.0f}deg, {tape})")
    elif kind == 2:
        bear(page, x, y, side)
    else:
        heart(page, x, y, side)


def heart(page: Page, x: float, y: float, side: float) -> None:
    """A heart, `side` wide."""
    points = ((0.5, 0.9), (-0.35, 0.35), (0.2, -0.25), (0.5, 0.22), (0.8, -0.25), (1.35, 0.35), (0.5, 0.9))
    at = [f"({side * px:.1f}pt, {side * py:.1f}pt)" for px, py in points]
    path = f"curve.move({at[0]}), curve.cubic({', '.join(at[1:4])}), curve.cubic({', '.join(at[4:])})"
    turn = page.between(-25, 25)
    page.place(x, y, f"rotate({turn:.0f}deg, curve(fill: {rgb(page.look.accent)}, {path}, curve.close()))")
