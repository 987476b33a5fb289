# ruff: noqa: RUF001 - full-width marks have rules of their own
"""A page drawn as SVG: words broken into lines and fitted into boxes, then rasterised by resvg.

resvg (https://github.com/linebender/resvg) sets no paragraphs, so lines are broken here, by widths that
FreeType measures through Pillow.
"""

import base64
import dataclasses
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import resvg_py
from PIL import Image, ImageFilter, ImageFont

from export.render.region import Region
from export.render.svg.fonts import Face

T = TypeVar("T")
_NEVER_FIRST = "、。，．・！？!?）)」』】〉》ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々〜～:：;…%％"
_NEVER_LAST = "（(「『【〈《"
_TURNED = "ー〜～（）()「」『』【】〈〉《》-–—…→:：="
_TOKEN = re.compile(r"[\x21-\x7e\u00a0-\u024f\u2010-\u201f\u20ac]+|\s|.")


@dataclass(frozen=True)
class Style:
    """How words are written; `bold` is the stroke that thickens letters, in parts of their size."""

    size: float
    fill: str
    face: Face
    align: str = "middle"
    bold: float = 0.0
    spacing: float = 0.0
    leading: float = 1.5
    outline: str = ""

    def replace(self, **changes: object) -> "Style":
        """The style with some things changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _ruler(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), 100)


def width_of(words: str, style: Style) -> float:
    """The width of one line in page units."""
    return (
        _ruler(style.face.path).getlength(words) * style.size / 100 + len(words) * style.spacing * style.size
    )


def break_lines(words: str, style: Style, width: float) -> list[str]:
    """Lines no wider than `width`, where the words can be broken: between Japanese characters, save before
    closing marks and after opening ones, and between Latin words. A line feed always breaks."""
    lines: list[str] = []
    for paragraph in words.split("\n"):
        line = ""
        for token in _TOKEN.findall(paragraph):
            if not line or width_of(line + token.rstrip(), style) <= width or token[0] in _NEVER_FIRST:
                line += token
                continue
            kept = line.rstrip(_NEVER_LAST) or line
            lines.append(kept.rstrip())
            line = (line[len(kept) :] + token).lstrip()
        lines.append(line.rstrip())
    return lines


def fit_lines(words: str, style: Style, box: Region, balance: bool = False) -> tuple[list[str], Style]:
    """The lines and the style, made smaller until the lines lie within the box. Lines that are to be balanced
    are headlines: Japanese ones are made smaller, down to 0.4, before they are broken within a word."""
    whole = 0.4 * style.size if balance and not words.isascii() else style.size
    while True:
        lines = words.split("\n") if style.size > whole else break_lines(words, style, box.width)
        tall = (len(lines) - 1) * style.leading * style.size + style.size * 1.1
        fits = tall <= box.height and all(width_of(line, style) <= box.width * 1.02 for line in lines)
        if fits or style.size < 7:
            break
        style = style.replace(size=style.size * 0.94)
    narrow = box.width
    while (
        balance and len(break_lines(words, style, narrow * 0.96)) == len(lines) and narrow > box.width * 0.4
    ):
        narrow *= 0.96
    narrowed = break_lines(words, style, narrow)
    wide = max(width_of(line, style) for line in narrowed)
    return (narrowed if len(narrowed) == len(lines) and wide <= box.width * 1.02 else lines), style


class Page:
    """One page while it is drawn. Layouts write inside `area`; `rng` decides everything."""

    def __init__(
        self, rng: np.random.Generator, height: float, look: "Look", photos: Sequence[Path] = ()
    ) -> None:
        self.rng, self.height, self.look, self.photos = rng, height, look, photos
        self.whole = Region(0, 0, 1000, height)
        self.area = self.whole.inset(70, 60)
        self.parts: list[str] = []
        self._faces: set[Path] = set()
        self._names = 0

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.rng.random() < share)

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: float, high: float) -> float:
        """A number from low to high."""
        return float(self.rng.uniform(low, high))

    def name(self) -> str:
        """A new id for something that is referred to."""
        self._names += 1
        return f"n{self._names}"

    def add(self, svg: str) -> None:
        """Draw SVG markup on top of what is there."""
        self.parts.append(svg)

    def rect(self, box: Region, fill: str, radius: float = 0, more: str = "") -> None:
        """A filled rectangle; `more` holds further attributes."""
        self.add(f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
                 f'rx="{radius:.1f}" fill="{fill}" {more}/>')  # fmt: skip

    def line(self, x: float, y: float, words: str, style: Style, turn: float = 0) -> None:
        """One line whose baseline starts, ends or is centred at (x, y), turned about that point."""
        self._faces.add(style.face.path)
        ink = style.outline or style.fill
        thick = style.size * (style.bold + (0.12 if style.outline else 0))
        stroke = f'stroke="{ink}" stroke-width="{thick:.2f}" stroke-linejoin="round" paint-order="stroke"'
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-family="{html.escape(style.face.family)}" '
                 f'font-weight="{style.face.weight}" font-size="{style.size:.2f}" fill="{style.fill}" '
                 f'text-anchor="{style.align}" letter-spacing="{style.spacing * style.size:.2f}" '
                 f'{stroke if thick else ""} transform="rotate({turn:.1f} {x:.1f} {y:.1f})" '
                 f'xml:space="preserve">{html.escape(words)}</text>')  # fmt: skip

    def block(
        self, box: Region, words: str, style: Style, valign: float = 0.5, balance: bool = False
    ) -> Region:
        """Words in lines inside a box, made smaller until they fit; the box that they take up is returned.
        `valign` puts them at the top (0) to the bottom (1)."""
        box = box.inset(0, min(8.0, box.height * 0.05))
        lines, style = fit_lines(words, style, box, balance)
        tall = (len(lines) - 1) * style.leading * style.size + style.size
        top = box.y + max(0.0, box.height - tall) * valign
        at = {"start": 0.0, "middle": 0.5, "end": 1.0}[style.align]
        for index, line in enumerate(lines):
            self.line(box.x + box.width * at, top + style.size * (0.87 + index * style.leading), line, style)
        wide = max(width_of(line, style) for line in lines)
        return Region(box.x + (box.width - wide) * at, top, wide, tall)

    def column(self, x: float, y: float, words: str, style: Style) -> None:
        """Characters one below another, as Japanese is written upright, centred on x from y downwards."""
        style = style.replace(align="middle")
        for character in words:
            turned = character in _TURNED or character.isascii()
            dx, dy = (0.35, -0.3) if character in "、。，．" else (0.0, 0.0)
            if turned:
                self.line(x - style.size * 0.36, y + style.size * 0.5, character, style, 90)
            else:
                self.line(x + dx * style.size, y + (0.87 + dy) * style.size, character, style)
            y += style.size * (1.08 + style.spacing)

    def photo(self, box: Region, blur: float, dim: float) -> bool:
        """One of the photos over a box, blurred by `blur` of its width and mixed with white or black by `dim`
        (-1 black to 1 white). False, and nothing drawn, where no photos are given."""
        if not len(self.photos):
            return False
        with Image.open(self.pick(self.photos)) as opened:
            image = opened.convert("RGB").resize((400, max(1, round(400 * box.height / box.width))))
        image = image.filter(ImageFilter.GaussianBlur(400 * blur))
        image = Image.blend(image, Image.new("RGB", image.size, "white" if dim > 0 else "black"), abs(dim))
        image.save(out := io.BytesIO(), "PNG")
        data = base64.b64encode(out.getvalue()).decode()
        self.add(f'<image x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" '
                 f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>')  # fmt: skip
        return True

    def svg(self) -> str:
        """The whole drawing."""
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {self.height:.1f}">'
                f"{''.join(self.parts)}</svg>")  # fmt: skip

    def rasterise(self, width: int) -> Image.Image:
        """The page as an RGB image `width` pixels wide."""
        png = resvg_py.svg_to_bytes(
            svg_string=self.svg(), width=width, background="#ffffff", skip_system_fonts=True,
            font_files=[str(path) for path in sorted(self._faces)],
        )  # fmt: skip
        return Image.open(io.BytesIO(png)).convert("RGB")


@dataclass(frozen=True)
class Look:
    """What the parts of one page have in common: colours and letters."""

    ground: str
    ink: str
    accent: str
    soft: str
    head: Style
    body: Style
    japanese: bool


def drawn_uploads(
    draw: Callable[[np.random.Generator], Image.Image], seed: int, stream: int, count: int
) -> list[bytes]:
    """Upload bytes of `count` drawings; `stream` keeps kinds of one seed apart."""
    uploads = []
    for index in range(count):
        rng = np.random.default_rng([seed, index, stream])
        uploads.append(_to_upload(rng, draw(rng)))
    return uploads


def _to_upload(rng: np.random.Generator, image: Image.Image) -> bytes:
    """Mostly JPEG, often PNG as design tools export it, sometimes WebP: not as `camera.to_bytes` does, which
    training uses."""
    kind, out = rng.random(), io.BytesIO()
    if kind < 0.3:
        image.save(out, "PNG", compress_level=3)
    elif kind < 0.42:
        image.save(out, "WEBP", quality=int(rng.integers(55, 92)), method=1)
    else:
        image.save(out, "JPEG", quality=int(rng.integers(50, 96)), subsampling=int(rng.choice([0, 2])))
    return out.getvalue()
