"""Where the renderers' fonts lie, and which of them no training may draw with."""

from pathlib import Path

from export.render.data_file import DataFile

FONT_ROOT = Path("/usr/share/fonts")


class Packages(DataFile):
    """Debian's packages of fonts, and how the files of those that are held for testing are known."""

    training_packages: tuple[str, ...]
    held_out_packages: tuple[str, ...]
    held_out: tuple[str, ...]


class Families(DataFile):
    """Names of font families by what they write, in the order in which seeds draw them."""

    japanese: tuple[str, ...]
    latin: tuple[str, ...]


PACKAGES = Packages.beside(__file__, "fonts.toml")


def is_held_out(path: Path) -> bool:
    """Whether a font file is of those that no training may draw with."""
    return any(name in str(path).lower().replace("-", "") for name in PACKAGES.held_out)


def font_files(root: Path) -> list[Path]:
    """Every font file under `root`, in a fixed order."""
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in {".ttf", ".ttc", ".otf"})
