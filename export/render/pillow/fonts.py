"""The fonts that Pillow draws with, found among those that are installed."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from export.render.fonts import FONT_PACKAGES, FONT_ROOT, MissingFontsError, font_files, is_held_out

_JAPANESE = [
    "ipaex",
    "ipafont",
    "NotoSansCJK-Regular",
    "NotoSansCJK-Bold",
    "NotoSerifCJK",
    "vlgothic",
    "takao",
    "MPLUS1[",
    "MPLUS2[",
    "MPLUS1-",
    "MPLUS2-",
    "mplus-1",
    "ume-hgo4",
    "ume-pmo3",
    "ume-tgo5",
    "ume-tms3",
    "ume-pgo5",
    "konatu/Konatu.ttf",
]
_JAPANESE_HAND = ("kouzan", "soseki", "kiloji", "breip")
_LATIN = [
    "dejavu/DejaVuSans",
    "DejaVuSerif",
    "Lato-Regular",
    "Lato-Black",
    "Lato-Light",
    "Roboto-Regular",
    "Roboto-Bold",
    "RobotoCondensed",
    "OpenSans",
    "EBGaramond12-Regular",
    "BebasNeue",
    "Quicksand",
]
_LATIN_HAND = ("Humor-Sans", "ComicNeue", "ecolier", "breip")
_NO_LATIN_USE = ("Italic", "Oblique", "Math", "Mono", "Initials", "Keyboard", "SC", "Code")


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

    def named(patterns: tuple[str, ...] | list[str], banned: tuple[str, ...] = ()) -> tuple[Path, ...]:
        found = [p for p in usable if any(x in str(p) for x in patterns)]
        return tuple(p for p in found if not any(x in p.name for x in banned) and not p.is_symlink())

    book = FontBook(
        japanese=named(_JAPANESE, ("Code",)),
        japanese_hand=named(_JAPANESE_HAND, ("breip",)),
        latin=named(_LATIN, _NO_LATIN_USE),
        latin_hand=named(_LATIN_HAND, _NO_LATIN_USE),
    )
    if not book.japanese or not book.latin:
        raise MissingFontsError(f"no fonts to render with under {root}: apt-get install {FONT_PACKAGES}")
    return book


@lru_cache(maxsize=2048)
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels; kept, because opening a CJK font takes milliseconds."""
    return ImageFont.truetype(str(path), size)
