"""The fonts that Pillow draws with, found among those that are installed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from export.errors import MissingFontsError
from export.render.data_file import DataFile
from export.render.fonts import FONT_ROOT, PACKAGES, font_files, is_held_out


class Files(DataFile):
    """Which files to take: the path holds one of `paths`, and the name none of `without`."""

    paths: tuple[str, ...]
    without: tuple[str, ...]

    def among(self, files: Sequence[Path]) -> tuple[Path, ...]:
        """The files that are meant, in their order; links are left out."""
        found = [p for p in files if any(part in str(p) for part in self.paths)]
        return tuple(p for p in found if not any(x in p.name for x in self.without) and not p.is_symlink())


class Choice(DataFile):
    """The files by what they write."""

    japanese: Files
    japanese_hand: Files
    latin: Files
    latin_hand: Files


_CHOICE = Choice.beside(__file__, "fonts.toml")


@dataclass(frozen=True)
class FontBook:
    """Font files by what they can write; every file here is one that Pillow opens."""

    japanese: tuple[Path, ...]
    japanese_hand: tuple[Path, ...]
    latin: tuple[Path, ...]
    latin_hand: tuple[Path, ...]

    def pick(self, rng: np.random.Generator, japanese: bool, hand: bool = False) -> Path:
        """One font file, at random, for the language and for print or handwriting."""
        if japanese:
            choices = self.japanese_hand if hand and self.japanese_hand else self.japanese
        else:
            choices = self.latin_hand if hand and self.latin_hand else self.latin + self.japanese[:4]
        return choices[int(rng.integers(len(choices)))]


@lru_cache(maxsize=1)
def installed_fonts(root: Path = FONT_ROOT) -> FontBook:
    """Every usable font under `root`, in a fixed order.

    Raises:
        MissingFontsError: no Japanese or no Latin font is there.

    """
    usable = [p for p in font_files(root) if not is_held_out(p)]
    book = FontBook(
        japanese=_CHOICE.japanese.among(usable),
        japanese_hand=_CHOICE.japanese_hand.among(usable),
        latin=_CHOICE.latin.among(usable),
        latin_hand=_CHOICE.latin_hand.among(usable),
    )
    if not book.japanese or not book.latin:
        packages = " ".join(PACKAGES.training_packages)
        raise MissingFontsError(f"no fonts to render with under {root}: apt-get install {packages}")
    return book


@lru_cache(maxsize=2048)
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels; kept, because opening a CJK font takes milliseconds."""
    return ImageFont.truetype(str(path), size)
