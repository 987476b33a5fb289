"""A notice renderer held for testing: pages drawn as SVG by resvg; nothing it draws is trained on.

Words, layouts, faces and text engine are its own, so that a filter that learnt the habits of the other
renderers fails here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.render.svg import layouts, sheets
from export.render.svg.fonts import SvgFonts, held_out_faces
from export.render.svg.grounds import lay_ground, random_look
from export.render.svg.page import Page, drawn_uploads
from export.render.svg.phrases import SUBJECTS, Notice, notice_of

Layout = Callable[[Page, Notice], None]
_LONG = ("closed", "shipping", "rules", "moved", "custom", "thanks", "payment", "event")
# Each layout with its weight and the subjects that shops use it for.
LAYOUTS: tuple[tuple[Layout, float, tuple[str, ...]], ...] = (
    (layouts.headline, 4, SUBJECTS), (layouts.sparse, 1.5, SUBJECTS), (layouts.card, 2, SUBJECTS),
    (layouts.banner, 1.5, SUBJECTS), (layouts.speech, 1.3, SUBJECTS),
    (layouts.split, 2, SUBJECTS),
    (layouts.number, 2, ("sale", "sale", "restock", "event", "closed")),
    (layouts.upright, 1.3, SUBJECTS), (layouts.labels, 1.3, SUBJECTS),
    (layouts.thanks, 1.2, ("thanks", "thanks", "custom", "restock", "event", "closed")),
    (layouts.aslant, 1, ("sale", "restock", "closed", "moved", "event")),
    (layouts.seal, 1, SUBJECTS), (layouts.taped, 1.3, SUBJECTS), (layouts.stamped, 1.3, SUBJECTS),
    (sheets.wall, 3, _LONG), (sheets.numbered, 1.5, _LONG), (sheets.fees, 1.3, ("shipping",)),
    (sheets.calendar, 1.5, ("closed", "closed", "event")), (sheets.memo, 1.5, _LONG),
    (sheets.notebook, 1, _LONG), (sheets.yes_no, 1.2, ("rules", "payment", "custom")),
    (sheets.coupon, 1.2, ("sale",)), (sheets.poster, 1.5, SUBJECTS), (sheets.post, 1, SUBJECTS),
    (sheets.facts, 1.2, _LONG), (sheets.framed, 1.5, _LONG),
)  # fmt: skip
# Sides in pixels, as design tools, phones and shops' own resizers give them.
SIZES = ((1080, 1080), (1000, 1000), (750, 750), (600, 600), (500, 500), (1080, 1350), (864, 1080),
         (640, 854), (768, 1024), (720, 1280), (1200, 800), (960, 720), (1200, 630), (320, 320),
         (450, 300))  # fmt: skip


def draw_svg_notice(rng: np.random.Generator, fonts: SvgFonts, photos: Sequence[Path] = ()) -> Image.Image:
    """One notice as an RGB image of 300 to 1,350 pixels a side; everything about it is drawn from `rng`."""
    weights = np.array([weight for _, weight, _ in LAYOUTS])
    layout, _, subjects = LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))]
    japanese = bool(fonts.japanese) and bool(rng.random() < 0.6)
    return drawn_page(rng, fonts, photos, layout, subjects, japanese=japanese)


def drawn_page(
    rng: np.random.Generator,
    fonts: SvgFonts,
    photos: Sequence[Path],
    layout: Layout,
    subjects: Sequence[str],
    *,
    japanese: bool,
) -> Image.Image:
    """One page in this layout, about one of these subjects, in one of SIZES."""
    notice = notice_of(rng, japanese, subjects[int(rng.integers(len(subjects)))])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    if layout in {sheets.memo, sheets.notebook, sheets.post} and width > height:
        width, height = height, width
    page = Page(rng, 1000 * height / width, random_look(rng, fonts, japanese), photos)
    lay_ground(page)
    layout(page, notice)
    return page.rasterise(width)


def render_svg_notices(
    seed: int, count: int, photos: Sequence[Path] = (), fonts: SvgFonts | None = None
) -> list[bytes]:
    """Upload bytes (JPEG, PNG or WebP) of `count` notices; the same arguments give the same bytes.

    Args:
        seed: names the set.
        count: how many.
        photos: photos to lay under some notices, blurred and dimmed.
        fonts: faces to write with, in place of the installed ones that no training renderer draws with;
            without Japanese faces every notice is English.

    Raises:
        MissingFontsError: `fonts` is not given and the held-out fonts are not installed.

    """
    faces = fonts or held_out_faces()
    return drawn_uploads(lambda rng: draw_svg_notice(rng, faces, photos), seed, 4, count)
