# ruff: noqa: E501 - paths and filters of SVG read worse when broken
"""What lies under the words: colours and letters of a page, and plain, patterned, paper and photo grounds."""

import colorsys
from collections.abc import Callable

import numpy as np

from export.render.svg.fonts import SvgFonts
from export.render.svg.ornaments import PICTURES, picture
from export.render.svg.page import Look, Page, Style

# ground, ink, accent, soft
PALETTES = (
    ("#fff6ec", "#5b4636", "#d98c5f", "#f3d9c0"), ("#fdeef1", "#6a4650", "#e58ba0", "#f9d3da"),
    ("#eaf4f4", "#2f4f57", "#5aa2a8", "#cfe6e6"), ("#ffffff", "#222222", "#d7263d", "#eeeeee"),
    ("#ffffff", "#333333", "#8c8c8c", "#f2f2f0"), ("#f5f1e8", "#403a31", "#8a9a74", "#e2dcc9"),
    ("#fff3b8", "#3a3226", "#ef6f3c", "#ffe27a"), ("#1f2a44", "#ffffff", "#f2b544", "#34456e"),
    ("#191919", "#f4f1ea", "#c9a45c", "#333333"), ("#e9e4f5", "#443a66", "#8d78c9", "#d3c9ec"),
    ("#d8322a", "#ffffff", "#ffe14d", "#a81f1a"), ("#ffe600", "#101010", "#e4002b", "#fff38a"),
    ("#f2f6e6", "#41552c", "#7fa650", "#dbe8bf"), ("#dff0fb", "#234a73", "#3f8fd2", "#b9ddf5"),
    ("#f8f8f6", "#8d867c", "#c7b8a3", "#ece8e0"), ("#fbe9e0", "#b5654a", "#c98468", "#f3d3c3"),
    ("#2f5d50", "#f6f3e7", "#e3c16f", "#3f7566"), ("#e09fb4", "#ffffff", "#b2456b", "#d488a2"),
    ("#ffffff", "#1b4d89", "#1b4d89", "#e4edf7"), ("#efe3d3", "#7b2d26", "#7b2d26", "#dcc7ac"),
)  # fmt: skip


def _tone(hue: float, light: float, strong: float) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, light, strong)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def random_palette(rng: np.random.Generator) -> tuple[str, str, str, str]:
    """Colours of a page: ground, ink, accent, soft; a set one or tones about a hue."""
    if rng.random() < 0.6:
        return PALETTES[int(rng.integers(len(PALETTES)))]
    hue, other = rng.random(), rng.choice([0.0, 0.08, 0.45, 0.55])
    strong = rng.uniform(0.2, 0.8)
    if rng.random() < 0.22:
        return (
            _tone(hue, 0.25, strong),
            _tone(hue, 0.96, 0.4),
            _tone(hue + other, 0.7, 0.8),
            _tone(hue, 0.35, strong),
        )
    ink = _tone(hue, rng.uniform(0.12, 0.42), strong * 0.7)
    return (
        _tone(hue, rng.uniform(0.88, 0.98), strong),
        ink,
        _tone(hue + other, 0.55, strong),
        _tone(hue, 0.83, strong),
    )


def random_look(rng: np.random.Generator, fonts: SvgFonts, japanese: bool) -> Look:
    """Colours and letters for one page."""
    ground, ink, accent, soft = random_palette(rng)
    printed = fonts.japanese if japanese else fonts.latin
    faces = fonts.hand if rng.random() < 0.14 else printed
    head, body = (faces[int(rng.integers(len(faces)))] for _ in range(2))
    if rng.random() < 0.5:
        body = head
    light = head.weight < 600
    bold = float(rng.choice([0, 0.02, 0.045, 0.07])) if light else 0.0
    spacing = float(rng.choice([0, 0, 0.05, 0.12]))
    return Look(
        ground, ink, accent, soft,
        Style(90, ink if rng.random() < 0.65 else accent, head, bold=bold, spacing=spacing, leading=1.25),
        Style(34, ink, body, bold=0.02 if japanese and rng.random() < 0.3 else 0.0, leading=rng.uniform(1.35, 1.8)),
        japanese,
    )  # fmt: skip


def _tile(page: Page, size: float, body: str, turn: float = 0) -> None:
    """Cover the page with a square tile repeated."""
    name = page.name()
    page.add(f'<defs><pattern id="{name}" width="{size:.1f}" height="{size:.1f}" patternUnits="userSpaceOnUse" '
             f'patternTransform="rotate({turn:.0f})">{body}</pattern></defs>')  # fmt: skip
    page.rect(page.whole, f"url(#{name})")


def plain(page: Page) -> None:
    """Nothing but the colour."""


def gradient(page: Page) -> None:
    """From the ground colour to the soft or the accent one."""
    look, name = page.look, page.name()
    end = look.soft if look.head.fill == look.accent else page.pick((look.soft, look.soft, look.accent))
    x, y = page.pick(((0, 1), (1, 1), (1, 0)))
    page.add(f'<linearGradient id="{name}" x2="{x}" y2="{y}"><stop stop-color="{page.look.ground}"/>'
             f'<stop offset="1" stop-color="{end}"/></linearGradient>')  # fmt: skip
    page.rect(page.whole, f"url(#{name})")


def dots(page: Page) -> None:
    """Polka dots."""
    size = page.between(30, 110)
    radius = size * page.between(0.1, 0.3)
    _tile(page, size, f'<circle cx="{size / 2}" cy="{size / 2}" r="{radius}" fill="{page.look.soft}"/>', 45)


def checks(page: Page) -> None:
    """Gingham."""
    size, fill = page.between(50, 140), f'fill="{page.look.soft}" opacity="0.6"'
    half = size / 2
    _tile(
        page,
        size,
        f'<rect width="{half}" height="{size}" {fill}/><rect width="{size}" height="{half}" {fill}/>',
    )


def stripes(page: Page) -> None:
    """Stripes, upright or aslant."""
    size = page.between(24, 120)
    body = f'<rect width="{size / 2}" height="{size}" fill="{page.look.soft}"/>'
    _tile(page, size, body, page.pick((0, 45, 90, -45)))


def squared(page: Page) -> None:
    """Squared paper."""
    size = page.between(24, 60)
    path = f'd="M0 0H{size}M0 0V{size}" stroke="{page.look.soft}" stroke-width="3"'
    _tile(page, size, f"<path {path}/>")


def blobs(page: Page) -> None:
    """A few large soft shapes that run off the page."""
    for _ in range(int(page.rng.integers(2, 6))):
        x, y = page.pick((0, 1000)) + page.between(-120, 120), page.between(0, page.height)
        fill = page.pick((page.look.soft, page.look.soft, page.look.accent))
        page.add(f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{page.between(90, 330):.0f}" ry="{page.between(90, 260):.0f}" '
                 f'fill="{fill}" opacity="{page.between(0.35, 0.9):.2f}" transform="rotate({page.between(0, 90):.0f} {x:.0f} {y:.0f})"/>')  # fmt: skip


def paper(page: Page) -> None:
    """Grain of paper or cloth, made of turbulence."""
    name, coarse = page.name(), page.pick(("0.04", "0.3", "0.02 0.4", "0.7"))
    page.add(f'<filter id="{name}" x="0" y="0" width="1" height="1"><feTurbulence type="fractalNoise" baseFrequency="{coarse}" '
             f'numOctaves="3" seed="{int(page.rng.integers(999))}"/><feColorMatrix values="0 0 0 0 .4  0 0 0 0 .33  0 0 0 0 .25  '
             f'.5 .5 0 0 {page.between(-0.4, -0.25):.2f}"/></filter>')  # fmt: skip
    page.add(f'<rect width="1000" height="{page.height:.1f}" filter="url(#{name})"/>')


def confetti(page: Page) -> None:
    """Scraps of paper, or small pictures, strewn over the page."""
    kind = page.pick(("scrap", "scrap", *sorted(PICTURES)))
    for _ in range(int(page.rng.integers(16, 46))):
        x, y, turn = page.between(-20, 980), page.between(-20, page.height), page.between(0, 360)
        if kind != "scrap":
            page.add('<g opacity="0.3">')
            picture(page, kind, x, y, page.between(40, 90), turn)
            page.add("</g>")
            continue
        fill = page.pick((page.look.soft, page.look.accent, page.look.soft))
        page.add(f'<rect x="{x:.0f}" y="{y:.0f}" width="{page.between(8, 34):.0f}" height="{page.between(6, 16):.0f}" '
                 f'fill="{fill}" transform="rotate({turn:.0f} {x:.0f} {y:.0f})"/>')  # fmt: skip


def rays(page: Page) -> None:
    """Rays from the middle, as sale banners have."""
    middle = page.height * page.between(0.35, 0.65)
    wedges = "".join(f'<path d="M0 0L2000 -{110}V110z" transform="rotate({a})"/>' for a in range(0, 360, 15))
    page.add(f'<g fill="{page.look.soft}" opacity="0.7" transform="translate(500 {middle:.0f})">{wedges}</g>')


def hills(page: Page) -> None:
    """Waves along the foot of the page, and sometimes along its head."""
    for share, fill in ((0.84, page.look.soft), (0.92, page.look.accent)):
        y, bend = page.height * share, page.between(20, 80)
        page.add(
            f'<path fill="{fill}" opacity="0.8" d="M0 {y:.0f}q250 {-bend:.0f} 500 0t500 0V{page.height:.0f}H0z"/>'
        )
    if page.chance(0.4):
        page.add(
            f'<path fill="{page.look.soft}" d="M0 0H1000V{page.height * 0.06:.0f}q-250 60 -500 0t-500 0z"/>'
        )


def photo(page: Page) -> None:
    """A photo too blurred or too pale to be what is sold."""
    dim = page.between(0.25, 0.65) * (1 if page.look.ink < "#9" else -1)
    if not page.photo(page.whole, page.between(0.02, 0.05), dim):
        gradient(page)


# Each with its share, and whether words on it need a panel.
GROUNDS: tuple[tuple[Callable[[Page], None], float, bool], ...] = (
    (plain, 0.26, False), (gradient, 0.1, False), (dots, 0.07, True), (checks, 0.07, True), (stripes, 0.07, True),
    (squared, 0.06, False), (blobs, 0.09, False), (paper, 0.08, False), (confetti, 0.06, True), (rays, 0.03, False),
    (hills, 0.04, False), (photo, 0.07, True),
)  # fmt: skip


def lay_ground(page: Page) -> None:
    """Lay a ground by chance, and on a busy one a panel; `page.area` becomes where words may stand."""
    look = page.look
    page.rect(page.whole, look.ground)
    ground, _, busy = GROUNDS[int(page.rng.choice(len(GROUNDS), p=[share for _, share, _ in GROUNDS]))]
    ground(page)
    if busy and (ground is photo or page.chance(0.8)):
        panel = page.whole.inset(page.between(35, 90), page.between(30, 0.09 * page.height))
        page.rect(panel, look.ground, page.pick((0, 0, 24, 60)), f'opacity="{page.between(0.78, 1):.2f}"')
        page.area = panel.inset(45, 36)
