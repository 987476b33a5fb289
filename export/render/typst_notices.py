"""A third notice renderer: pages set by Typst.

It shares neither words nor layouts nor text engine with `notices` and `browser_notices`, so that training
learns what makes a notice and not the habits of one renderer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.render import typst_cards, typst_layouts, typst_tables
from export.render.typst_grounds import frame, lay_ground, random_look, sticker
from export.render.typst_page import Page, TypstFonts, typeset
from export.render.typst_phrases import SUBJECTS, Notice, notice_of, pick

Layout = Callable[[Page, Notice, bool], None]
_READING = ("closed", "delay", "read", "account", "restock", "terms", "event", "thanks")
# Each layout with its weight and the subjects that shops use it for.
LAYOUTS: tuple[tuple[Layout, float, tuple[str, ...]], ...] = (
    (typst_layouts.centred, 4, SUBJECTS), (typst_layouts.huge, 3, SUBJECTS),
    (typst_layouts.wall, 3, ("read", "terms", "delay", "account")), (typst_layouts.split, 2.5, SUBJECTS),
    (typst_layouts.steps, 2, ("order",)), (typst_layouts.upright, 1.5, SUBJECTS),
    (typst_layouts.seal, 1.5, SUBJECTS), (typst_layouts.notes, 1.2, _READING),
    (typst_layouts.apology, 1.5, _READING), (typst_layouts.facts, 1.5, ("sale", *_READING)),
    (typst_layouts.pictured, 1.5, SUBJECTS), (typst_tables.measures, 2, ("read", "terms")),
    (typst_tables.prices, 1.5, ("order", "terms")), (typst_tables.coupon, 1.5, ("sale", "thanks")),
    (typst_tables.sale, 2, ("sale",)), (typst_tables.month, 1.2, ("closed",)),
    (typst_tables.chat, 1, _READING), (typst_tables.mail, 1.2, _READING),
    (typst_tables.listing, 1.5, ("custom",)), (typst_cards.warning, 1.5, ("read", "delay", "terms")),
    (typst_cards.questions, 1.5, _READING), (typst_cards.either, 1.2, ("read", "terms", "account")),
    (typst_cards.date, 1.5, ("event", "restock", "closed", "sale")), (typst_cards.story, 2, SUBJECTS),
    (typst_cards.diagram, 0.8, ("read", "terms")),
)  # fmt: skip
_SCREENS = (typst_tables.chat, typst_tables.mail)
# Sides in pixels: what phones, Canva and the marketplaces' own resizers give.
SIZES = ((1080, 1080), (1080, 1080), (800, 800), (640, 640), (1080, 1350), (720, 900), (600, 800),
         (900, 1200), (540, 960), (1200, 900), (800, 600), (1280, 720), (1000, 500),
         (400, 400), (300, 400))  # fmt: skip


def draw_typst_notice(
    rng: np.random.Generator, fonts: TypstFonts, photos: Sequence[Path] = ()
) -> Image.Image:
    """One notice as an RGB image of 300 to 1,350 pixels a side; everything about it is drawn from `rng`."""
    weights = np.array([weight for _, weight, _ in LAYOUTS])
    layout, _, subjects = LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))]
    japanese = layout is typst_layouts.upright or bool(rng.random() < 0.62)
    notice = notice_of(rng, japanese, pick(rng, subjects))
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    if layout in _SCREENS and width > height:
        width, height = height, width
    page = Page(rng, 600, 600 * height / width, random_look(rng, fonts, japanese), photos)
    if layout in _SCREENS:
        layout(page, notice, False)
    else:
        busy = lay_ground(page)
        if page.chance(0.25):
            frame(page)
        if page.chance(0.25):
            sticker(page)
        layout(page, notice, busy)
    return typeset(page, fonts, width)
