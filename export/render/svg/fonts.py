"""The faces that SVG pages are written with: none that a training renderer draws with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from export.errors import MissingFontsError
from export.render.data_file import DataFile
from export.render.fonts import FONT_ROOT, PACKAGES, font_files, is_held_out


class Names(DataFile):
    """Parts of the names of font files, by what they write."""

    japanese: tuple[str, ...]
    hand: tuple[str, ...]
    latin: tuple[str, ...]


_NAMES = Names.beside(__file__, "fonts.toml")


@dataclass(frozen=True)
class Face:
    """One font file, with the family name and weight that SVG finds it by."""

    path: Path
    family: str
    weight: int

    @classmethod
    def load(cls, path: Path) -> "Face":
        """The face in a font file."""
        family, style = ImageFont.truetype(str(path), 20).getname()
        return cls(path, family or path.stem, 700 if "Bold" in (style or "") else 400)


@dataclass(frozen=True)
class SvgFonts:
    """The faces to write with, by what they can write."""

    japanese: tuple[Face, ...]
    hand: tuple[Face, ...]
    latin: tuple[Face, ...]


@lru_cache(maxsize=4)
def held_out_faces(root: Path = FONT_ROOT) -> SvgFonts:
    """The faces under `root` that no training renderer draws with.

    Raises:
        MissingFontsError: a kind of face is not installed.

    """
    files = [p for p in font_files(root) if p.suffix.lower() != ".ttc" and is_held_out(p)]

    def named(names: Sequence[str]) -> tuple[Face, ...]:
        first = {p.name: p for p in reversed(files) if any(name in p.name for name in names)}
        return tuple(Face.load(first[name]) for name in sorted(first) if "Italic" not in name)

    faces = SvgFonts(named(_NAMES.japanese), named(_NAMES.hand), named(_NAMES.latin))
    if not (faces.japanese and faces.hand and faces.latin):
        packages = " ".join(PACKAGES.held_out_packages)
        raise MissingFontsError(f"fonts held for testing are not under {root}: apt-get install {packages}")
    return faces
