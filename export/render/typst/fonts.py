"""The families that Typst sets pages in, among the fonts that are installed."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import typst

from export.errors import MissingFontsError
from export.render.fonts import FONT_ROOT, PACKAGES, Families, font_files, is_held_out

_FAMILIES = Families.beside(__file__, "fonts.toml")
EMBEDDED_FAMILY = "Libertinus Serif"


@dataclass(frozen=True)
class TypstFonts:
    """Families to write with and the folders that they lie in; empty folders leave Typst's embedded fonts."""

    japanese: tuple[str, ...]
    latin: tuple[str, ...]
    folders: tuple[Path, ...]

    @cached_property
    def compiler(self) -> typst.Compiler:
        """A compiler that knows these fonts and the embedded ones alone."""
        folders = [str(folder) for folder in self.folders]
        fonts = typst.Fonts(include_system_fonts=False, font_paths=folders)
        return typst.Compiler(b"", font_paths=fonts, ignore_system_fonts=True)


@lru_cache(maxsize=1)
def training_fonts(root: Path = FONT_ROOT) -> TypstFonts:
    """The installed fonts that training may draw with.

    Raises:
        MissingFontsError: none of them writes Japanese or none writes Latin.

    """
    folders = tuple(sorted({p.parent for p in font_files(root) if not is_held_out(p)}))
    known = set(typst.Fonts(include_system_fonts=False, font_paths=[str(f) for f in folders]).families())
    japanese, latin = (
        tuple(f for f in names if f in known) for names in (_FAMILIES.japanese, _FAMILIES.latin)
    )
    if not japanese or not latin:
        packages = " ".join(PACKAGES.training_packages)
        raise MissingFontsError(f"no fonts to set pages in under {root}: apt-get install {packages}")
    return TypstFonts(japanese, latin, folders)
