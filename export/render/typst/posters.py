"""QR posters set by Typst: cards, stands, plain codes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import segno
from numpy.typing import NDArray
from PIL import Image

from export.render.region import Region
from export.render.typst.fonts import TypstFonts
from export.render.typst.grounds import bear, burst, frame, heart, lay_ground, panel, random_look, rgb
from export.render.typst.layouts import paragraphs
from export.render.typst.notices import SIZES
from export.render.typst.page import Page, is_dark, typeset
from export.render.typst.phrases import PHRASES, SUBJECTS, Notice, notice_of, pick

_HOSTS = (
    "line.me/R/ti/p/@",
    "www.instagram.com/",
    "shop.example.jp/items/",
    "pay.example.com/q/",
    "example.org/",
    "t.example/",
)


def random_matrix(rng: np.random.Generator) -> NDArray[np.bool_]:
    """The modules of a code for an address, a Wi-Fi network or an account; True where dark."""
    name = "".join(rng.choice(list("abcdefhikmnorstuvwxyz0123456789_"), int(rng.integers(4, 60))))
    payload = f"https://{pick(rng, _HOSTS)}{name}"
    if rng.random() < 0.15:
        payload = f"WIFI:T:WPA;S:{name[:12]};P:{name[::-1][:16]};;"
    code = segno.make(payload, error=pick(rng, ("m", "m", "q", "h")), micro=False)
    return np.array([[bool(module) for module in row] for row in code.matrix], dtype=np.bool_)


def _module(kind: str, x: int, y: int) -> str:
    if kind == "dots":
        return f"M{x + 0.04} {y + 0.5}a.46 .46 0 1 0 .92 0a.46 .46 0 1 0 -.92 0z"
    if kind == "diamonds":
        return f"M{x + 0.5} {y - 0.05}l.55 .55l-.55 .55l-.55 -.55z"
    return f"M{x} {y}h1v1h-1z"


def _finder(x: int, y: int, roundness: float, ink: str, paper: str) -> str:
    rings = ((0, 7, ink), (1, 5, paper), (2, 3, ink))
    return "".join(
        f"<rect x='{x + gap}' y='{y + gap}' width='{side}' height='{side}' rx='{roundness * side:.2f}' "
        f"fill='{fill}'/>"
        for gap, side, fill in rings
    )


def code_svg(
    matrix: NDArray[np.bool_], kind: str, inks: tuple[str, str, str], quiet: int, roundness: float
) -> str:
    """A code as SVG.

    Args:
        matrix: modules, True where dark, [side, side].
        kind: "squares", "dots" or "diamonds".
        inks: colours of the modules, of the three finder patterns, and of the paper.
        quiet: modules of paper round the code.
        roundness: how round the finder patterns' corners are, 0 to 0.5.

    """
    side = len(matrix)
    ink, finder_ink, paper = inks
    corners = ((0, 0), (side - 7, 0), (0, side - 7))
    inside = np.zeros_like(matrix)
    for x, y in corners:
        inside[y : y + 7, x : x + 7] = True
    path = "".join(_module(kind, int(x), int(y)) for y, x in np.argwhere(matrix & ~inside))
    finders = "".join(_finder(x, y, roundness, finder_ink, paper) for x, y in corners)
    full = side + 2 * quiet
    sharp = " shape-rendering='crispEdges'" if kind == "squares" else ""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{-quiet} {-quiet} {full} {full}'>"
        f"<rect x='{-quiet}' y='{-quiet}' width='{full}' height='{full}' fill='{paper}'/>"
        f"<path{sharp} fill='{ink}' d='{path}'/>{finders}</svg>"
    )


def _inks(page: Page) -> tuple[str, str, str]:
    """Module, finder and paper colours: black on white for most, the page's own for the others."""
    look = page.look
    if page.chance(0.55):
        return "#000000", "#000000", "#ffffff"
    dark = [colour for colour in (look.ink, look.accent, look.ground) if is_dark(colour)] or ["#202020"]
    ink = dark[0]
    if page.chance(0.07):  # light modules on dark paper
        return "#ffffff", "#ffffff", ink
    finder = str(page.rng.choice(dark)) if page.chance(0.4) else ink
    paper = look.ground if not is_dark(look.ground) and page.chance(0.5) else "#ffffff"
    return ink, finder, paper


def place_code(page: Page, at: Region) -> None:
    """A random code as large as `at` lets it be, in its middle; a logo over some."""
    matrix, side = random_matrix(page.rng), min(at.width, at.height)
    x, y = at.x + (at.width - side) / 2, at.y + (at.height - side) / 2
    kind = str(page.rng.choice(["squares", "squares", "squares", "dots", "diamonds"]))
    inks, quiet = _inks(page), int(page.rng.choice([1, 2, 3, 4]))
    svg = code_svg(matrix, kind, inks, quiet, page.between(0.1, 0.5) if page.chance(0.35) else 0)
    page.place(x, y, f'image(bytes("{svg}"), format: "svg", width: {side:.1f}pt, height: {side:.1f}pt)')
    if page.chance(0.25):
        logo = side * page.between(0.14, 0.2)
        spot = Region(x + (side - logo) / 2, y + (side - logo) / 2, logo, logo)
        radius = page.between(0, 0.5) * logo
        page.rect(spot, rgb(inks[2]), f", radius: {radius:.1f}pt")
        page.rect(spot.inset(logo * 0.1), rgb(page.look.accent), f", radius: {radius * 0.8:.1f}pt")
        kind = str(page.rng.choice(["heart", "bear", "letter"]))
        if kind == "bear":
            bear(page, spot.x + logo * 0.15, spot.y + logo * 0.15, logo * 0.7)
        elif kind == "letter":
            page.fit_headline(
                spot.inset(logo * 0.3), ["MSKN"[int(page.rng.integers(4))]], page.look.on(page.look.accent)
            )


def _call(page: Page, notice: Notice) -> str:
    return pick(page.rng, PHRASES.language(notice.japanese).calls)


def plain(page: Page, notice: Notice, busy: bool) -> None:
    """A code and at most one line, on the ground."""
    del busy
    inner = page.whole.inset(page.width * page.between(0.03, 0.25), page.height * page.between(0.03, 0.15))
    if page.chance(0.4):
        place_code(page, inner)
        return
    code, foot = inner.rows(page.between(4, 8), 1, gap=10)
    place_code(page, code)
    _plate(page, foot, _call(page, notice))


def _plate(page: Page, at: Region, words: str) -> None:
    """One line on a strip of its own colour, or straight on the ground."""
    colour = str(page.rng.choice([page.look.accent, page.look.ground, page.look.ink]))
    page.rect(at, rgb(colour), f", radius: {page.between(0, at.height / 2):.0f}pt")
    ink = page.look.ground if colour == page.look.ink else page.look.on(colour)
    page.fit_headline(at.inset(at.width * 0.08, at.height * 0.24), [words], ink)


def card(page: Page, notice: Notice, busy: bool) -> None:
    """An add-me card: a face, a name, the code, the handle."""
    inner = page.whole.inset(page.width * page.between(0.06, 0.16), page.height * page.between(0.05, 0.1))
    panel(page, inner, 1 if busy else page.between(0.7, 1))
    top, name, code, foot = inner.inset(inner.width * 0.08, inner.height * 0.05).rows(
        0.9, 0.7, page.between(3, 5), 0.7, gap=8
    )
    side = min(top.height, top.width)
    face = Region(top.x + (top.width - side) / 2, top.y, side, side)
    if not (page.chance(0.4) and page.photo(face, radius=side / 2)):
        page.rect(face, rgb(page.look.accent), f", radius: {side / 2:.0f}pt")
        bear(page, face.x + side * 0.2, face.y + side * 0.2, side * 0.6)
    page.fit_headline(name, [notice.shop], page.look.ink)
    place_code(page, code)
    page.fit_text(foot, page.words(_call(page, notice), page.look.ink), "center + horizon", 1.2)


def poster(page: Page, notice: Notice, busy: bool) -> None:
    """A headline, the code in a box, lines under it."""
    inner = page.whole.inset(page.width * 0.07, page.height * 0.05)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.9)
    head, code, foot = inner.rows(page.between(0.8, 1.6), page.between(2, 4), page.between(0.5, 1.2), gap=14)
    page.fit_headline(head, [_call(page, notice)] if page.chance(0.6) else notice.headline, page.look.ink)
    side = min(code.width, code.height)
    box = Region(code.x + (code.width - side) / 2, code.y, side, side)
    page.rect(
        box,
        rgb("#ffffff"),
        f", radius: {page.between(0, 24):.0f}pt"
        f", stroke: {page.between(0, 8):.1f}pt + {rgb(page.look.accent)}",
    )
    place_code(page, box.inset(side * page.between(0.04, 0.1)))
    page.fit_text(
        foot,
        paragraphs(page, notice.lines[: int(page.rng.integers(1, 4))], page.look.ink),
        "center + horizon",
        1.1,
    )


def beside(page: Page, notice: Notice, busy: bool) -> None:
    """The code on one side, words on the other: business cards and coupons."""
    inner = page.whole.inset(page.width * 0.05, page.height * 0.06)
    if busy or page.chance(0.4):
        panel(page, page.whole.inset(page.width * 0.03), 0.95)
    cut = inner.columns if page.width > page.height * 1.1 else inner.rows
    code, text = cut(1, page.between(0.8, 1.4), gap=18)
    if page.chance(0.5) and cut == inner.columns:
        text, code = cut(page.between(0.8, 1.4), 1, gap=18)
    place_code(page, code)
    head, body = text.inset(4, 10).rows(1, 1.3, gap=26)
    page.fit_headline(head, notice.headline, page.look.ink, "left + horizon")
    page.fit_text(
        body, paragraphs(page, (_call(page, notice), *notice.lines[:2]), page.look.ink), "left + top", 1.2
    )


def stand(page: Page, notice: Notice, busy: bool) -> None:
    """A table stand or payment board: a coloured head, the code, a coloured foot with marks."""
    del busy
    head, middle, foot = page.whole.rows(1, page.between(2.5, 4), page.between(0.4, 0.8), gap=0)
    page.rect(middle, rgb("#ffffff"))
    for strip in (head, foot):
        page.rect(strip, rgb(page.look.accent))
    page.fit_headline(
        head.inset(head.width * 0.1, head.height * 0.24),
        [_call(page, notice)],
        page.look.on(page.look.accent),
    )
    place_code(page, middle.inset(middle.width * 0.06, middle.height * 0.05))
    page.fit_headline(
        foot.inset(foot.width * 0.2, foot.height * 0.3), [notice.shop], page.look.on(page.look.accent)
    )


def pair(page: Page, notice: Notice, busy: bool) -> None:
    """Two codes, each with a caption."""
    inner = page.whole.inset(page.width * 0.06, page.height * 0.06)
    if busy:
        panel(page, page.whole.inset(page.width * 0.03), 0.95)
    head, body = inner.rows(0.8, page.between(3, 4.5), gap=12)
    page.fit_headline(head, [notice.title], page.look.ink)
    cut = body.columns if page.width >= page.height * 0.8 else body.rows
    for cell in cut(1, 1, gap=24):
        code, foot = cell.rows(4, 0.8, gap=8)
        place_code(page, code)
        page.fit_text(foot, page.words(_call(page, notice), page.look.ink), "center + horizon", 1)


def seal(page: Page, notice: Notice, busy: bool) -> None:
    """A code in the middle of a disc or star-edged seal."""
    del busy
    short = min(page.width, page.height)
    x, y = page.width / 2, page.height / 2
    burst(page, x, y, short * page.between(0.46, 0.56), page.look.accent)
    side = short * page.between(0.4, 0.56)
    box = Region(x - side / 2, y - side / 2, side, side)
    page.rect(box.inset(-12), rgb("#ffffff"), f", radius: {page.between(0, 30):.0f}pt")
    place_code(page, box)
    strip = Region(page.width * 0.1, page.height * 0.86, page.width * 0.8, page.height * 0.1)
    _plate(page, strip, _call(page, notice))
    if page.chance(0.4):
        heart(page, page.width * 0.06, page.height * 0.05, short * 0.12)


Layout = Callable[[Page, Notice, bool], None]
LAYOUTS: tuple[tuple[Layout, float], ...] = (
    (plain, 3), (card, 2.5), (poster, 3), (beside, 2), (stand, 2), (pair, 1), (seal, 1),
)  # fmt: skip


def draw_typst_qr_poster(
    rng: np.random.Generator, fonts: TypstFonts, photos: Sequence[Path] = ()
) -> Image.Image:
    """One poster as an RGB image of 300 to 1,350 pixels a side; everything about it is drawn from `rng`."""
    weights = np.array([weight for _, weight in LAYOUTS])
    layout = LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))][0]
    japanese = bool(rng.random() < 0.62)
    notice = notice_of(rng, japanese, pick(rng, SUBJECTS))
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    if layout is not beside and width > height * 1.2:
        width, height = height, width
    page = Page(rng, 600, 600 * height / width, random_look(rng, fonts, japanese), photos)
    busy = lay_ground(page)
    if page.chance(0.15):
        frame(page)
    layout(page, notice, busy)
    return typeset(page, fonts, width)
