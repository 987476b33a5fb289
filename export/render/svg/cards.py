"""Notices of three kinds that a filter may miss, as groups of their own; held for testing, as all of SVG's.

A card whose only block of words is a small table, Japanese written from top to bottom, one huge heading.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from export.render.svg import layouts
from export.render.svg.fonts import SvgFonts, held_out_faces
from export.render.svg.notices import Layout, drawn_page
from export.render.svg.ornaments import corners
from export.render.svg.page import Page, drawn_uploads
from export.render.svg.phrases import PHRASES, SUBJECTS, Notice
from export.render.svg.sheets import fee_rows, table


def small_table(page: Page, notice: Notice) -> None:
    """A card that is mostly empty, with a short title over a table of three or four rows."""
    box = page.area.inset(page.area.width * page.between(0.12, 0.22), page.area.height * 0.12)
    if page.chance(0.6):
        corners(page, page.area)
    above, head, rows, _ = box.rows(
        page.between(0.4, 1.4), 0.8, page.between(1.4, 2.0), page.between(0.6, 1.8)
    )
    if page.chance(0.5):
        name = PHRASES.language(notice.japanese).labels.notice
        page.block(above, page.pick(name), page.look.body.replace(size=26, align="middle"), 0.7)
    title = page.look.head.replace(size=page.between(36, 54), align="middle")
    page.block(head, notice.title, title, balance=True)
    table(page, rows, fee_rows(page, notice, page.pick((2, 3))), page.between(22, 32))


def heading(page: Page, notice: Notice) -> None:
    """The headline alone, in the largest letters that there is room for."""
    box = page.whole.inset(page.whole.width * 0.05, page.whole.height * page.between(0.06, 0.2))
    style = page.look.head.replace(size=page.between(300, 460), align="middle")
    page.block(box, notice.headline, style, balance=True)


# Each group's layout, and the subjects that its words are about.
GROUPS: Mapping[str, tuple[Layout, Sequence[str]]] = {
    "small-table": (small_table, ("shipping",)),
    "vertical": (layouts.upright, SUBJECTS),
    "heading": (heading, SUBJECTS),
}


def render_svg_group(
    group: str, seed: int, count: int, photos: Sequence[Path] = (), fonts: SvgFonts | None = None
) -> list[bytes]:
    """Upload bytes of `count` notices of one of GROUPS; the same arguments give the same bytes.

    In Japanese where `fonts` has Japanese faces; without them `vertical` turns its headline along the side.

    Raises:
        MissingFontsError: `fonts` is not given and the held-out fonts are not installed.

    """
    faces = fonts or held_out_faces()
    layout, subjects = GROUPS[group]
    japanese = bool(faces.japanese)
    return drawn_uploads(
        lambda rng: drawn_page(rng, faces, photos, layout, subjects, japanese=japanese), seed, 6, count
    )
