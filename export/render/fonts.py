"""The fonts that the renderers draw with, found among those that are installed."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

FONT_ROOT = Path("/usr/share/fonts")
FONT_PACKAGES = (
    "fonts-noto-cjk fonts-ipaexfont fonts-vlgothic fonts-mplus fonts-takao fonts-aoyagi-kouzan-t "
    "fonts-aoyagi-soseki fonts-kiloji fonts-horai-umefont fonts-konatu fonts-dejavu fonts-lato fonts-roboto "
    "fonts-open-sans fonts-ebgaramond fonts-bebas-neue fonts-humor-sans fonts-comic-neue fonts-quicksand"
)
# Kept for the renderer that is held for testing, so that its letters were never trained on.
HELD_OUT = ("motoya", "sawarabi", "seto", "komatuna", "liberation", "cantarell", "junction", "linuxlibertine")
HELD_OUT_PACKAGES = (
    "fonts-motoya-l-cedar fonts-motoya-l-maruberi fonts-sawarabi-gothic fonts-sawarabi-mincho fonts-seto "
    "fonts-komatuna fonts-liberation fonts-cantarell fonts-junction fonts-linuxlibertine"
)
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


class MissingFontsError(RuntimeError):
    """No font of a kind that the renderers need is installed."""


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


def is_held_out(path: Path) -> bool:
    """Whether a font file is of those that no training may draw with."""
    return any(name in str(path).lower().replace("-", "") for name in HELD_OUT)


@lru_cache(maxsize=1)
def installed_fonts(root: Path = FONT_ROOT) -> FontBook:
    """Every usable font under `root`, in a fixed order.

    Raises:
        MissingFontsError: no Japanese or no Latin font is there.

    """
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in {".ttf", ".ttc", ".otf"})
    usable = [p for p in files if not is_held_out(p)]

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
