"""Posters whose main thing is a QR code, held for testing like `notices`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import segno
from PIL import Image

from export.render.region import Region
from export.render.svg.fonts import SvgFonts, held_out_faces
from export.render.svg.grounds import lay_ground, random_look
from export.render.svg.notices import SIZES
from export.render.svg.ornaments import PICTURES, any_picture, bubble, corners, picture, ribbon
from export.render.svg.page import Page, drawn_uploads
from export.render.svg.phrases import Notice, poster_words

_LINKS = ("https://line.example/ti/p/{}", "https://pay.example/qr/{}", "https://social.example/{}", "https://r.example/{}",
          "WIFI:T:WPA;S:{0};P:{0}-guest;;", "https://menu.example/table/{}?from=poster&lang=ja",
          "MECARD:N:{};TEL:0300000000;;")  # fmt: skip
_INKS = (
    "#000000",
    "#000000",
    "#111111",
    "#1a2b5f",
    "#0b5d3b",
    "#7a1530",
    "#4a2a7a",
    "#3c2a1e",
    "#a34e6b",
    "#3f7f8f",
)


def _matrix(rng: np.random.Generator, level: str) -> np.ndarray:
    """The modules of a code that leads to a made-up place, bool (n, n)."""
    letters = "abcdefghijkmnopqrstuvwxyz23456789"
    token = "".join(letters[i] for i in rng.integers(len(letters), size=int(rng.integers(4, 26))))
    code = segno.make_qr(_LINKS[int(rng.integers(len(_LINKS)))].format(token), error=level, boost_error=False)
    return np.array([[bool(module) for module in row] for row in code.matrix])


def _modules(matrix: np.ndarray, kind: str) -> str:
    """The path of the dark modules, a unit wide each; finder patterns stay square where the rest is dots."""
    count, parts = len(matrix), []
    for y, x in zip(*np.nonzero(matrix), strict=True):
        finder = ((y < 7 or y >= count - 7) and x < 7) or (y < 7 and x >= count - 7)
        if kind == "square" or finder:
            parts.append(f"M{x} {y}h1.02v1.02h-1.02z")
        elif kind == "dot":
            parts.append(f"M{x + 0.04} {y + 0.5}a.46.46 0 1 0 .92 0a.46.46 0 1 0-.92 0z")
        else:
            parts.append(f"M{x + 0.3} {y}h.42l.3.3v.42l-.3.3h-.42l-.3-.3v-.42z")
    return "".join(parts)


def code(page: Page, box: Region) -> None:
    """A QR code as large as the box lets it be, with its quiet zone, in its middle."""
    size = min(box.width, box.height)
    x, y = box.x + (box.width - size) / 2, box.y + (box.height - size) / 2
    logo = page.chance(0.25)
    matrix = _matrix(page.rng, "h" if logo else page.pick("lmmq"))
    quiet = page.pick((2, 3, 4, 4))
    ink, kind = page.pick(_INKS), page.pick(("square", "square", "dot", "cut"))
    fill = ink
    if page.chance(0.12):
        fill = f"url(#{(name := page.name())})"
        page.add(f'<linearGradient id="{name}" x2="1" y2="1"><stop stop-color="{ink}"/>'
                 f'<stop offset="1" stop-color="{page.pick(_INKS)}"/></linearGradient>')  # fmt: skip
    page.rect(Region(x, y, size, size), page.pick(("#ffffff", "#ffffff", "#fdfaf2")), page.pick((0, 0, 18)))
    step = size / (len(matrix) + 2 * quiet)
    page.add(f'<path transform="translate({x + quiet * step:.2f} {y + quiet * step:.2f}) scale({step:.4f})" '
             f'fill="{fill}" d="{_modules(matrix, kind)}"/>')  # fmt: skip
    if logo:
        side = size * 0.2
        middle = Region(x + (size - side) / 2, y + (size - side) / 2, side, side)
        page.rect(middle, "#ffffff", side / 5)
        picture(
            page, page.pick(sorted(PICTURES)), middle.x + side * 0.12, middle.y + side * 0.12, side * 0.76
        )


def plain(page: Page, words: Notice) -> None:
    """Headline, code, a line below."""
    look = page.look
    head, middle, foot = page.area.rows(
        page.between(0.8, 1.3), page.between(2.4, 3.4), page.between(0.4, 0.8)
    )
    if page.area.width > page.area.height * 1.15:
        beside(page, words)
        return
    page.block(head, words.headline, look.head.replace(size=page.between(70, 130)), 0.4, balance=True)
    code(page, middle)
    page.block(foot.inset(0, 10), words.subtitle, look.body.replace(size=page.between(30, 46)), 0.7)


def beside(page: Page, words: Notice) -> None:
    """Words on one side, the code on the other, as on a shop's card."""
    look = page.look
    first, second = (
        page.area.columns(1, page.between(1, 1.6)) if page.area.height < 900 else page.area.rows(1, 1.8)
    )
    if page.chance(0.3) and page.area.height < 900:
        second, first = page.area.columns(1.2, 1)
    head, under = first.inset(15).rows(1.6, 1)
    align = page.pick(("start", "middle"))
    page.block(
        head, words.headline, look.head.replace(size=page.between(70, 110), align=align), 0.7, balance=True
    )
    page.block(
        under,
        words.subtitle + "\n" + words.shop,
        look.body.replace(size=page.between(28, 42), align=align),
        0.2,
    )
    code(page, second.inset(10))


def phone(page: Page, words: Notice) -> None:
    """A phone that shows the code on its screen."""
    look, tall = page.look, page.area.height * 0.72
    wide = min(tall * 0.62, page.area.width * 0.7)
    head = Region(page.area.x, page.area.y, page.area.width, page.area.height - tall - 15)
    page.block(head, words.title, look.head.replace(size=page.between(60, 100)), balance=True)
    body = Region(500 - wide / 2, page.area.y + page.area.height - tall, wide, tall)
    page.rect(body, "#1b1b1d", wide * 0.1)
    screen = body.inset(wide * 0.04, wide * 0.07)
    page.rect(screen, look.soft, wide * 0.05)
    page.rect(Region(500 - wide * 0.12, body.y + wide * 0.025, wide * 0.24, wide * 0.022), "#444444", 6)
    top, middle, foot = screen.inset(wide * 0.05).rows(0.8, 3, 0.9)
    ink = look.body.replace(size=wide * 0.09, fill="#222222" if look.ink < "#9" else look.ink, align="middle")
    page.block(top, words.shop, ink)
    code(page, middle)
    page.block(foot, words.subtitle, ink.replace(size=wide * 0.07))


def app_card(page: Page, words: Notice) -> None:
    """A white card on the strong colour or the gradient of a messenger or a payment app."""
    look, name = page.look, page.name()
    first, last = page.pick((("#06c755", "#06c755"), ("#f9a03f", "#b02fa8"), ("#ff0033", "#ff0033"),
                             ("#4a5bd8", "#c44bb8"), ("#0f8ce9", "#0f6cbf"),
                             ("#1fb6a6", "#177e89"), (look.accent, look.accent)))  # fmt: skip
    page.add(f'<linearGradient id="{name}" x2="1" y2="1"><stop stop-color="{first}"/>'
             f'<stop offset="1" stop-color="{last}"/></linearGradient>')  # fmt: skip
    page.rect(page.whole, f"url(#{name})")
    wide = page.whole.width > page.whole.height * 1.15
    head, rest = page.whole.inset(60, 45).columns(1, 1.1) if wide else page.whole.inset(80, 50).rows(0.75, 3)
    page.block(
        head.inset(10),
        words.headline,
        look.head.replace(size=page.between(70, 110), fill="#ffffff"),
        balance=True,
    )
    card = rest.inset(page.between(0, 40), 0)
    page.rect(card, "#ffffff", 44)
    top, middle, foot = card.inset(30, 24).rows(0.5, 3, 0.5)
    dark = look.body.replace(size=page.between(34, 48), fill="#2a2a2a", align="middle")
    page.block(top, words.shop, dark.replace(bold=0.03))
    code(page, middle)
    page.block(foot, words.subtitle, dark.replace(size=34, fill=first))


def spoken(page: Page, words: Notice) -> None:
    """The headline in a speech bubble over the code, or an arrow that points at it."""
    look = page.look
    head, middle = page.area.rows(1, page.between(2, 2.8))
    if page.chance(0.5):
        bubble(page, head.inset(60, 6), look.accent)
        page.block(
            head.inset(110, 24), words.headline, look.head.replace(size=100, fill=look.ground), balance=True
        )
        code(page, middle.inset(0, 60))
        return
    page.block(head.inset(100, 10), words.headline, look.head.replace(size=110), 0.2, balance=True)
    below = middle.inset(0, 20)
    code(page, Region(below.x, below.y + 30, below.width, below.height - 30))
    size = min(below.width, below.height - 30)
    x, y = max(40.0, 500 - size / 2 - 90), head.y + head.height * 0.75
    page.add(f'<path fill="none" stroke="{look.accent}" stroke-width="9" stroke-linecap="round" '
             f'd="M{x + 50:.0f} {y:.0f}q-70 60 0 {head.height / 4 + 90:.0f}'
             'm-34 -16l36 18 6 -42"/>')  # fmt: skip


def large(page: Page, words: Notice) -> None:
    """Little but the code, with a strip of words."""
    look, strip = page.look, page.between(0.16, 0.26)
    page.rect(page.whole, page.pick(("#ffffff", look.ground, look.soft)))
    band, rest = page.whole.rows(strip, 1 - strip)
    if page.chance(0.6):
        rest, band = page.whole.rows(1 - strip, strip)
    page.rect(band, look.accent)
    page.block(band.inset(40, 14), words.title, look.head.replace(size=100, fill=look.ground), balance=True)
    code(page, rest.inset(page.between(15, 60)))


def stand(page: Page, words: Notice) -> None:
    """A stand beside a till: ribbon, code in a frame, small pictures, a line."""
    look = page.look
    top, middle, foot = page.area.rows(0.75, page.between(2.6, 3.2), 0.7)
    ribbon(page, top.inset(60, top.height * 0.12), words.title, look.head.replace(size=80))
    size = min(middle.width, middle.height) - 20
    frame = Region(500 - size / 2, middle.y + 10, size, size)
    code(page, frame.inset(24))
    corners(page, frame)
    page.block(foot.inset(0, 8), words.subtitle, look.body.replace(size=page.between(32, 48)), 0.6)
    room = (page.area.width - size) / 2 - 30
    if room > 70:
        for x in (page.area.x, page.area.x + page.area.width - room):
            any_picture(page, Region(x, middle.y, room, middle.height))


def pair(page: Page, words: Notice) -> None:
    """Two codes, each with what it leads to."""
    look = page.look
    head, rest = page.area.rows(1, 2.6)
    page.block(head, words.title, look.head.replace(size=page.between(60, 100)), balance=True)
    tall = rest.height > rest.width * 1.1
    for part, label in zip(
        rest.rows(1, 1) if tall else rest.columns(1, 1), ("LINE", "Instagram"), strict=True
    ):
        picture_box, name = part.inset(12).rows(4, 0.7)
        code(page, picture_box)
        page.block(name, label, look.body.replace(size=44, align="middle"))


Layout = Callable[[Page, Notice], None]
LAYOUTS: tuple[tuple[Layout, float], ...] = (
    (plain, 3), (beside, 2), (phone, 1.3), (app_card, 2.5), (spoken, 1.5), (large, 1.5),
    (stand, 1.5), (pair, 0.8),
)  # fmt: skip


def draw_svg_qr_poster(rng: np.random.Generator, fonts: SvgFonts, photos: Sequence[Path] = ()) -> Image.Image:
    """One poster as an RGB image of 300 to 1,350 pixels a side; everything about it is drawn from `rng`."""
    weights = np.array([weight for _, weight in LAYOUTS])
    layout, _ = LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))]
    japanese = bool(fonts.japanese) and bool(rng.random() < 0.6)
    words = poster_words(rng, japanese)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    page = Page(rng, 1000 * height / width, random_look(rng, fonts, japanese), photos)
    lay_ground(page)
    layout(page, words)
    return page.rasterise(width)


def render_svg_qr_posters(
    seed: int, count: int, photos: Sequence[Path] = (), fonts: SvgFonts | None = None
) -> list[bytes]:
    """Upload bytes of `count` posters; arguments and errors are those of `render_svg_notices`."""
    faces = fonts or held_out_faces()
    return drawn_uploads(lambda rng: draw_svg_qr_poster(rng, faces, photos), seed, 5, count)
