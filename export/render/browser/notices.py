"""Shop notices as web pages: HTML and CSS in headless Chromium.

Layouts, patterns and the text engine are others than Pillow's, half of the words too: what all renderers
have in common is what makes a notice.
"""

import base64
import html
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from export.errors import MissingBrowserError, RenderError
from export.render.browser.phrases import PHRASES
from export.render.camera import lay_down, photograph, texture, to_bytes
from export.render.fonts import Families
from export.render.pillow.phrases import random_notice

_FAMILIES = Families.beside(__file__, "fonts.toml")
WIDTHS, HEIGHTS = (480, 600, 720, 800), (480, 600, 720, 960)
_SECONDS = 120  # for one screenshot; it takes two
_PAGES_PER_SCREENSHOT = 12  # pages in one screenshot: 16,384 px is the tallest that Chromium draws


def _colour(rng: np.random.Generator, low: int, high: int) -> str:
    return f"hsl({int(rng.integers(360))} {int(rng.integers(5, 95))}% {int(rng.integers(low, high))}%)"


def _background(rng: np.random.Generator, dark: bool) -> str:
    """A CSS background: plain, a gradient, or a pattern between two near or two far tones."""
    low, high = (5, 32) if dark else (78, 100)
    if rng.random() < 0.15:
        low, high = 20, 90
    first, second = _colour(rng, low, high), _colour(rng, low, high)
    turn, size = int(rng.integers(360)), int(rng.integers(12, 120))
    thin = int(size * rng.uniform(0.15, 0.85))
    plain = f"background:{'#111' if dark else '#fff'}"
    choices = (
        plain,
        plain,
        f"background:{first}",
        f"background:{first}",
        f"background:linear-gradient({turn}deg,{first},{second})",
        f"background:radial-gradient(circle at {turn % 100}% 30%,{first},{second})",
        f"background:repeating-linear-gradient({turn}deg,{first} 0 {thin}px,{second} {thin}px {size}px)",
        f"background:repeating-radial-gradient(circle,{first} 0 {thin}px,{second} {thin}px {size}px)",
        f"background:radial-gradient({second} {thin // 2}px,transparent 0) 0 0/{size}px {size}px {first}",
        f"background:repeating-conic-gradient({first} 0 25%,{second} 0 50%) 0 0/{size}px {size}px",
        f"background:conic-gradient(from {turn}deg,{first},{second},{first})",
        f"background:linear-gradient({second} 1px,transparent 1px) 0 0/{size}px {size}px,"
        f"linear-gradient(90deg,{second} 1px,transparent 1px) 0 0/{size}px {size}px {first}",
    )
    return choices[int(rng.integers(len(choices)))]


def _photo(rng: np.random.Generator, photos: Sequence[Path]) -> str:
    """CSS for a product photo behind the words, blurred and veiled; empty without photos.

    A garment that can still be made out makes a product with a caption.
    """
    if not photos:
        return ""
    out = io.BytesIO()
    with Image.open(photos[int(rng.integers(len(photos)))]) as image:
        blur = ImageFilter.GaussianBlur(image.width * float(rng.uniform(0.025, 0.06)))
        image.convert("RGB").filter(blur).save(out, "JPEG", quality=80)
    data = base64.b64encode(out.getvalue()).decode()
    veil = "255 255 255" if rng.random() < 0.6 else "0 0 0"
    share = int(rng.uniform(40, 85))
    flat = f"linear-gradient(rgb({veil}/{share}%),rgb({veil}/{share}%))"
    return f"background:{flat},url(data:image/jpeg;base64,{data}) center/cover"


def _grid(rng: np.random.Generator, japanese: bool, edge: str) -> str:
    words = PHRASES.language(japanese)
    measures = words.size_columns[1:]
    rows = [
        words.size_columns,
        *((name, *(f"{int(rng.integers(30, 130))} cm" for _ in measures)) for name in words.size_names),
    ]
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    style = "border-collapse:collapse;width:90%;margin:2% auto"
    return f'<table style="{style}" border=1 bordercolor="{edge}">{cells}</table>'


def _card_style(rng: np.random.Generator, dark: bool) -> str:
    style = ""
    if rng.random() < 0.4:
        line = rng.choice(["solid", "double", "dashed", "dotted"])
        style += f"border:{int(rng.integers(1, 14))}px {line} {_colour(rng, 20, 80)};"
    if rng.random() < 0.35:
        style += f"{_background(rng, dark)};border-radius:{int(rng.integers(0, 40))}px;margin:5vh 6vw;"
    return style


def _badge(rng: np.random.Generator) -> str:
    return (
        '<div style="position:absolute;right:4vw;top:3vh;color:#fff;border-radius:50%;padding:3vw;'
        f'background:{_colour(rng, 30, 60)};transform:rotate({int(rng.integers(-30, 30))}deg)">'
        f"{int(rng.integers(1, 10)) * 10}%</div>"
    )


def _line_element(rng: np.random.Generator) -> str:
    """The element that a line of body stands in: paragraph, list item, box, message bubble, heading."""
    radius, pad = int(rng.integers(0, 30)), float(rng.uniform(0.2, 0.9))
    box = f"background:{_colour(rng, 85, 99)};color:#222;border-radius:{radius}px"
    box += f";padding:{pad:.1f}em;margin:.4em"
    ruled = f"border-bottom:1px {rng.choice(['solid', 'dashed', 'dotted'])} currentColor;padding:.3em 0"
    return str(rng.choice(["p", "p", "li", "div", "h3", f'div style="{box}"', f'div style="{ruled}"']))


def _words(rng: np.random.Generator, japanese: bool, ink: str) -> tuple[str, str, bool]:
    """A heading, the HTML of the body, and whether there is a body at all."""
    if rng.random() < 0.5:
        words = PHRASES.language(japanese)
        head = words.headings[int(rng.integers(len(words.headings)))]
        count = int(rng.integers(0, 10))
        chosen = [words.lines[int(i)] for i in rng.choice(len(words.lines), count, replace=False)]
    else:
        text = random_notice(rng, japanese, int(rng.integers(1, 14)))
        head, chosen = text.title, text.lines if rng.random() < 0.85 else []
    mark = _line_element(rng)
    end = mark.split(" ", maxsplit=1)[0]
    body = "".join(f"<{mark}>{html.escape(line)}</{end}>" for line in chosen)
    if rng.random() < 0.25:
        body += _grid(rng, japanese, ink)
    return head, body, bool(chosen)


def _shapes(rng: np.random.Generator) -> str:
    """Circles, blobs and bars of colour about the page, as templates have."""
    drawn = []
    for _ in range(int(rng.integers(1, 6))):
        side, radius = float(rng.uniform(5, 45)), int(rng.choice([0, 10, 50, 50]))
        drawn.append(
            f'<div style="position:absolute;left:{float(rng.uniform(-10, 95)):.0f}vw;z-index:-1;'
            f"top:{float(rng.uniform(-10, 95)):.0f}vh;width:{side:.0f}vw;"
            f"height:{side * float(rng.choice([1, 1, 0.2])):.0f}vw;border-radius:{radius}%;"
            f"background:{_colour(rng, 40, 95)};opacity:{float(rng.uniform(0.2, 1)):.1f};"
            f'transform:rotate({int(rng.integers(0, 90))}deg)"></div>'
        )
    return "".join(drawn)


def _ribbon(rng: np.random.Generator) -> str:
    """A bar at the top or across a corner, as app screens and sale banners have."""
    if rng.random() < 0.5:
        height = int(rng.integers(4, 12))
        return f'<div style="height:{height}vh;background:{_colour(rng, 20, 80)}"></div>'
    return (
        '<div style="position:absolute;left:-12vw;top:7vh;width:50vw;text-align:center;color:#fff;'
        f'padding:1vw;background:{_colour(rng, 30, 55)};transform:rotate(-38deg);font-size:4vw">'
        f"{rng.choice(PHRASES.ribbons)}</div>"
    )


_EXTRAS: tuple[tuple[Callable[[np.random.Generator], str], float], ...] = (
    (_badge, 0.25),
    (_shapes, 0.25),
    (_ribbon, 0.15),
)


def _arrangement(rng: np.random.Generator, japanese: bool) -> str:
    """How heading and body stand to each other: stacked, in columns, side by side, upright, centred."""
    if japanese and rng.random() < 0.15:
        return "writing-mode:vertical-rl;height:80vh;margin:8vh auto;"
    choices = (
        "", "", "",
        f"column-count:2;column-gap:{int(rng.integers(2, 6))}vw;",
        "display:flex;align-items:center;gap:3vw;",
        "display:flex;flex-direction:column;justify-content:center;min-height:80vh;",
        f"transform:rotate({float(rng.uniform(-8, 8)):.1f}deg);",
    )  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


def notice_html(rng: np.random.Generator, photos: Sequence[Path] = ()) -> str:
    """One notice as a page: cards, columns, vertical text, lists, tables, badges, mail-like screens."""
    japanese, dark = bool(rng.random() < 0.65), bool(rng.random() < 0.3)
    families = _FAMILIES.japanese if japanese else _FAMILIES.latin
    ink = _colour(rng, 80, 100) if dark else _colour(rng, 5, 38)
    head, body, wordy = _words(rng, japanese, ink)
    title_size = float(rng.uniform(6, 20) if wordy else rng.uniform(14, 26))
    ground = _photo(rng, photos) if rng.random() < 0.15 else ""
    page = (
        f"margin:0;height:100vh;overflow:hidden;box-sizing:border-box;position:relative;z-index:0;"
        f"{ground or _background(rng, dark)};color:{ink};"
        f"font-family:'{families[int(rng.integers(len(families)))]}';"
        f"text-align:{rng.choice(['center', 'center', 'left', 'right'])}"
    )
    card = f"{_card_style(rng, dark)}padding:{float(rng.uniform(1, 9)):.0f}vw;{_arrangement(rng, japanese)}"
    shadow = f"text-shadow:3px 3px 0 {_colour(rng, 40, 70)};" if rng.random() < 0.25 else ""
    spacing = float(rng.uniform(-0.02, 0.2))
    title = f"font-size:{title_size:.1f}vw;margin:.3em 0;{shadow}letter-spacing:{spacing:.2f}em"
    if rng.random() < 0.2:
        title += f";background:{_colour(rng, 30, 60)};color:#fff"
    text = f"font-size:{float(rng.uniform(2.2, 6)):.1f}vw;line-height:{float(rng.uniform(1.1, 2.1)):.2f}"
    extras = "".join(draw(rng) for draw, share in _EXTRAS if rng.random() < share)
    return (
        f'<!doctype html><meta charset="utf-8"><body style="{page}">{extras}<div style="{card}">'
        f'<h1 style="{title}">{html.escape(head)}</h1><div style="{text}">{body}</div></div></body>'
    )


def _sheet_html(pages: Sequence[str], width: int, height: int) -> str:
    style = f"border:0;display:block;width:{width}px;height:{height}px"
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page, quote=True)}" style="{style}"></iframe>' for page in pages
    )
    return f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frames}</body>'


def render_browser_notices(seed: int, count: int, photos: Sequence[Path] = ()) -> list[bytes]:
    """`count` notices as upload bytes; several share one start of the browser.

    Args:
        seed: names the set.
        count: how many.
        photos: product photos to put behind the words of some.

    Raises:
        MissingBrowserError: no `chromium` on the path.
        RenderError: it failed, wrote no screenshot, or took minutes over one.

    """
    browser = shutil.which("chromium")
    if browser is None:
        raise MissingBrowserError("browser notices need Chromium: apt-get install chromium")

    def draw_sheet(first: int) -> list[bytes]:
        rng = np.random.default_rng([seed, first])
        width, height = int(rng.choice(WIDTHS)), int(rng.choice(HEIGHTS))
        pages = [notice_html(rng, photos) for _ in range(min(_PAGES_PER_SCREENSHOT, count - first))]
        drawn = _screenshots(browser, _sheet_html(pages, width, height), width, height, len(pages))
        return [to_bytes(rng, _perhaps_photographed(rng, image)) for image in drawn]

    with ThreadPool(2) as pool:
        shots = pool.map(draw_sheet, range(0, count, _PAGES_PER_SCREENSHOT), chunksize=1)
    return [image for shot in shots for image in shot]


def _perhaps_photographed(rng: np.random.Generator, page: Image.Image) -> Image.Image:
    """The page itself, or at times its print on a table, photographed."""
    if rng.random() < 0.85:
        return page
    ground = texture(rng, 480, int(480 * rng.uniform(0.8, 1.3)))
    laid = lay_down(rng, page, ground, float(rng.uniform(0.8, 1.15)), float(rng.uniform(0, 0.08)), 10)
    return photograph(rng, laid)


def _screenshots(browser: str, page: str, width: int, height: int, count: int) -> list[Image.Image]:
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        source.write_text(page, encoding="utf-8")
        _take(browser, f"--user-data-dir={folder}/profile", f"--window-size={width},{height * count}",
              f"--screenshot={shot}", source.as_uri())  # fmt: skip
        if not shot.exists():
            raise RenderError("Chromium ended without an error and wrote no screenshot")
        with Image.open(shot) as sheet:
            whole = sheet.convert("RGB")
        return [whole.crop((0, i * height, width, (i + 1) * height)) for i in range(count)]


def _take(browser: str, *arguments: str) -> None:
    """Run the browser once; its last line says why where it fails."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--hide-scrollbars", "--disable-background-networking", "--disable-component-update",
               "--disable-sync", *arguments]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RenderError(f"Chromium failed with exit code {error.returncode}: {said[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise RenderError(f"Chromium took more than {_SECONDS} s for one screenshot") from error
