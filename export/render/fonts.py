"""Where the renderers' fonts lie, and which of them no training may draw with."""

from pathlib import Path

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


class MissingFontsError(RuntimeError):
    """No font of a kind that the renderers need is installed."""


def is_held_out(path: Path) -> bool:
    """Whether a font file is of those that no training may draw with."""
    return any(name in str(path).lower().replace("-", "") for name in HELD_OUT)


def font_files(root: Path) -> list[Path]:
    """Every font file under `root`, in a fixed order."""
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in {".ttf", ".ttc", ".otf"})
