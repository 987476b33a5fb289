"""A page that Typst sets: text fitted into boxes, shapes, pictures, and the compilation to pixels.

Lengths are in points of a page 600 wide; colours are hex strings.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from export.errors import RenderError
from export.render.region import Region
from export.render.typst.fonts import EMBEDDED_FAMILY, TypstFonts

# Headlines are measured by their ink, so that tails do not hang out of the box.
_INK = '#set text(top-edge: "bounds", bottom-edge: "bounds")\n'
PRELUDE = """
#let fit-headline(w, h, a, body) = context {
  let m = measure(body)
  box(width: w, height: h, align(a, scale(100% * calc.min(w / m.width, h / m.height), reflow: true, body)))
}
#let fit-text(w, h, a, grow, body) = context {
  let k = grow
  while k > 0.25 and measure(width: w / k, body).height * k > h { k = k * 0.94 }
  box(width: w, height: h, align(a, scale(k * 100%, reflow: true, block(width: w / k, body))))
}
"""


def quoted(words: str) -> str:
    """`words` as markup that Typst takes literally."""
    return '#"' + words.replace("\\", "\\\\").replace('"', '\\"') + '";'


def luma(colour: str) -> float:
    """The brightness of `colour`, 0 to 255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue


def is_dark(colour: str) -> bool:
    """Whether white letters are the legible ones on `colour`."""
    return luma(colour) < 140


@dataclass(frozen=True)
class Look:
    """Colours and fonts of one page."""

    ground: str
    second: str
    ink: str
    accent: str
    head_font: str
    body_font: str
    heavy: bool

    def on(self, colour: str) -> str:
        """A legible ink on a panel of `colour`."""
        if abs(luma(colour) - luma(self.ink)) > 95:
            return self.ink
        return "#ffffff" if is_dark(colour) else "#2b2b2b"


@dataclass
class Page:
    """Typst source that grows from the ground up."""

    rng: np.random.Generator
    width: float
    height: float
    look: Look
    photos: Sequence[Path] = ()
    parts: list[str] = field(default_factory=list)

    @property
    def whole(self) -> Region:
        """The page's own rectangle."""
        return Region(0, 0, self.width, self.height)

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return float(self.rng.uniform(low, high))

    def place(self, x: float, y: float, content: str) -> None:
        """Place Typst code (not markup) with its upper left corner at x, y."""
        self.parts.append(f"#place(top + left, dx: {x:.1f}pt, dy: {y:.1f}pt, {content})")

    def rect(self, at: Region, fill: str = "none", style: str = "") -> None:
        """A rectangle; `fill` and `style` are Typst code."""
        self.place(
            at.x, at.y, f"rect(width: {at.width:.1f}pt, height: {at.height:.1f}pt, fill: {fill}{style})"
        )

    def words(self, text: str, colour: str, head: bool = False, size: float = 20, bold: bool = False) -> str:
        """Markup of `text` in the page's font for headlines or for reading."""
        font = self.look.head_font if head else self.look.body_font
        thick = bold or (head and self.look.heavy)
        weight = f', weight: "bold", stroke: 0.025em + rgb("{colour}")' if thick else ""
        set_as = f'font: ("{font}", "{EMBEDDED_FAMILY}"), size: {size:.1f}pt, fill: rgb("{colour}"){weight}'
        return f"#text({set_as})[{quoted(text)}]"

    def fit_headline(
        self, at: Region, lines: Sequence[str], colour: str, align: str = "center + horizon", turn: float = 0
    ) -> None:
        """Lines scaled to fill `at`, as a headline; `turn` is in degrees."""
        body = " \\ ".join(self.words(line, colour, head=True, size=40) for line in lines)
        side = align.split(" + ", maxsplit=1)[0]
        leading = 0.35 if any(ord(letter) > 0x2E80 for line in lines for letter in line) else 0.4
        set_as = f"align({side})[{_INK}#set par(leading: {leading}em)\n{body}]"
        content = f"fit-headline({at.width:.1f}pt, {at.height:.1f}pt, {align}, {set_as})"
        self.place(at.x, at.y, f"rotate({turn:.1f}deg, {content})" if turn else content)

    def fit_text(
        self, at: Region, markup: str, align: str = "left + horizon", grow: float = 1.6, leading: float = 0.75
    ) -> None:
        """Running markup set to the width of `at`, shrunk until it is no taller."""
        side = align.split(" + ", maxsplit=1)[0]
        body = f"align({side})[#set par(leading: {leading:.2f}em)\n{markup}]"
        self.place(at.x, at.y, f"fit-text({at.width:.1f}pt, {at.height:.1f}pt, {align}, {grow:.2f}, {body})")

    def photo(self, at: Region, radius: float = 0, blur: float = 0) -> bool:
        """One of the photos, cropped to `at`; False, and nothing drawn, where there are none.

        `radius` rounds its corners, in points; `blur` is a share of the photo's width.
        """
        if not self.photos:
            return False
        with Image.open(self.photos[int(self.rng.integers(len(self.photos)))]) as photo:
            out = io.BytesIO()
            width, height = photo.size
            soft = photo.convert("RGB").filter(ImageFilter.GaussianBlur(width * blur))
            soft.save(out, "JPEG", quality=90)
        data = base64.b64encode(out.getvalue()).decode()
        svg = (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'><image width='{width}' "
            f"height='{height}' href='data:image/jpeg;base64,{data}'/></svg>"
        )
        picture = f'image(bytes("{svg}"), format: "svg", width: 100%, height: 100%, fit: "cover")'
        sides = f"width: {at.width:.1f}pt, height: {at.height:.1f}pt"
        self.place(at.x, at.y, f"box({sides}, clip: true, radius: {radius:.1f}pt, {picture})")
        return True

    def source(self) -> str:
        """The whole document."""
        ground = f'fill: rgb("{self.look.ground}")'
        page = f"#set page(width: {self.width:.0f}pt, height: {self.height:.0f}pt, margin: 0pt, {ground})"
        return "\n".join([page, "#set par(spacing: 0.9em)", PRELUDE, *self.parts])


def typeset(page: Page, fonts: TypstFonts, width: int) -> Image.Image:
    """The page as an RGB image `width` pixels wide.

    Raises:
        RenderError: what is drawn takes more than one page.

    """
    data = fonts.compiler.compile(page.source().encode(), format="png", ppi=72 * width / page.width)
    if not isinstance(data, bytes):
        raise RenderError("Typst made several pages of one: what is drawn runs over its foot")
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
