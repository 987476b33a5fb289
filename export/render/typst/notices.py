"""Shop notices as pages set by Typst.

They share neither words nor layouts nor text engine with Pillow's and the browser's, so that training
learns what makes a notice and not the habits of one renderer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.render.typst import cards, layouts, tables
from export.render.typst.fonts import TypstFonts
from export.render.typst.grounds import frame, lay_ground, random_look, sticker
from export.render.typst.page import Page, typeset
from export.render.typst.phrases import SUBJECTS, Notice, notice_of, pick

Layout = Callable[[Page, Notice, bool], None]
_READING = ("closed", "delay", "read", "account", "restock", "terms", "event", "thanks")
# Each layout with its weight and the subjects that shops use it for.
LAYOUTS: tuple[tuple[Layout, float, tuple[str, ...]], ...] = (
    (layouts.centred, 4, SUBJECTS), (layouts.huge, 3, SUBJECTS),
    (layouts.wall, 3, ("read", "terms", "delay", "account")), (layouts.split, 2.5, SUBJECTS),
    (layouts.steps, 2, ("order",)), (layouts.upright, 1.5, SUBJECTS),
    (layouts.seal, 1.5, SUBJECTS), (layouts.notes, 1.2, _READING),
    (layouts.apology, 1.5, _READING), (layouts.facts, 1.5, ("sale", *_READING)),
    (layouts.pictured, 1.5, SUBJECTS), (tables.measures, 2, ("read", "terms")),
    (tables.prices, 1.5, ("order", "terms")), (tables.coupon, 1.5, ("sale", "thanks")),
    (tables.sale, 2, ("sale",)), (tables.month, 1.2, ("closed",)),
    (tables.chat, 1, _READING), (tables.mail, 1.2, _READING),
    (tables.listing, 1.5, ("custom",)), (cards.warning, 1.5, ("read", "delay", "terms")),
    (cards.questions, 1.5, _READING), (cards.either, 1.2, ("read", "terms", "account")),
    (cards.date, 1.5, ("event", "restock", "closed", "sale")), (cards.story, 2, SUBJECTS),
    (cards.diagram, 0.8, ("read", "terms")),
)  # fmt: skip
_SCREENS = (tables.chat, tables.mail)
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
    japanese = layout is layouts.upright or bool(rng.random() < 0.62)
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
