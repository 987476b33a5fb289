"""A second notice renderer: HTML and CSS in headless Chromium. It is for testing only.

Nothing here is shared with `notices`: other words, layouts, fonts (those that `fonts.HELD_OUT` keeps
from training) and another text engine, so that a filter that learnt one renderer's habits fails here.
"""

import html
import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.render.browser_phrases import FONTS_EN, FONTS_JA, HEADS_EN, HEADS_JA, LINES_EN, LINES_JA

WIDTHS, HEIGHTS = (480, 600, 720, 800), (480, 600, 720, 960)


class BrowserMissingError(RuntimeError):
    """Chromium is not installed."""


def _colour(rng: np.random.Generator, low: int, high: int) -> str:
    return f"hsl({int(rng.integers(360))} {int(rng.integers(5, 95))}% {int(rng.integers(low, high))}%)"


def _background(rng: np.random.Generator, dark: bool) -> str:
    low, high = (5, 32) if dark else (78, 100)
    first, second = _colour(rng, low, high), _colour(rng, low, high)
    kind = int(rng.integers(6))
    if kind == 0:
        return f"background:{'#111' if dark else '#fff'}"
    if kind == 1:
        return f"background:{first}"
    if kind == 2:
        return f"background:linear-gradient({int(rng.integers(360))}deg,{first},{second})"
    if kind == 3:
        return f"background:radial-gradient(circle at 30% 20%,{first},{second})"
    if kind == 4:
        thin, wide = int(rng.integers(8, 40)), int(rng.integers(41, 80))
        return f"background:repeating-linear-gradient(45deg,{first} 0 {thin}px,{second} 0 {wide}px)"
    return f"background:conic-gradient(from {int(rng.integers(360))}deg,{first},{second},{first})"


def _grid(rng: np.random.Generator, japanese: bool, edge: str) -> str:
    heads = ["", "胸囲", "丈", "裄"] if japanese else ["", "Bust", "Length", "Waist"]
    names = ["小", "中", "大", "特大"] if japanese else ["Small", "Medium", "Large", "Extra large"]
    rows = [heads, *[[name, *(f"{int(rng.integers(30, 130))} cm" for _ in heads[1:])] for name in names]]
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


def _words(rng: np.random.Generator, japanese: bool, ink: str) -> tuple[str, str, bool]:
    """A heading, the HTML of the body, and whether there is a body at all."""
    heads, lines = (HEADS_JA, LINES_JA) if japanese else (HEADS_EN, LINES_EN)
    chosen = [lines[int(i)] for i in rng.choice(len(lines), int(rng.integers(0, 10)), replace=False)]
    mark = str(rng.choice(["li", "p", "p", "div"]))
    body = "".join(f"<{mark}>{html.escape(line)}</{mark}>" for line in chosen)
    if rng.random() < 0.25:
        body += _grid(rng, japanese, ink)
    return heads[int(rng.integers(len(heads)))], body, bool(chosen)


def notice_html(rng: np.random.Generator) -> str:
    """One notice as a page: cards, columns of vertical text, lists, tables, badges, mail-like screens."""
    japanese, dark = bool(rng.random() < 0.65), bool(rng.random() < 0.3)
    fonts = FONTS_JA if japanese else FONTS_EN
    ink = _colour(rng, 80, 100) if dark else _colour(rng, 5, 38)
    head, body, wordy = _words(rng, japanese, ink)
    big = float(rng.uniform(6, 20) if wordy else rng.uniform(14, 26))
    upright = japanese and rng.random() < 0.15
    page = (
        f"margin:0;height:100vh;overflow:hidden;box-sizing:border-box;{_background(rng, dark)};color:{ink};"
        f"font-family:'{fonts[int(rng.integers(len(fonts)))]}';"
        f"text-align:{rng.choice(['center', 'center', 'left', 'right'])}"
    )
    card = f"{_card_style(rng, dark)}padding:4vw;"
    card += "writing-mode:vertical-rl;height:80vh;margin:8vh auto;" if upright else ""
    shadow = f"text-shadow:3px 3px 0 {_colour(rng, 40, 70)};" if rng.random() < 0.25 else ""
    title = (
        f"font-size:{big:.1f}vw;margin:.3em 0;{shadow}letter-spacing:{float(rng.uniform(-0.02, 0.2)):.2f}em"
    )
    text = f"font-size:{float(rng.uniform(2.2, 5)):.1f}vw;line-height:{float(rng.uniform(1.1, 2.1)):.2f}"
    badge = _badge(rng) if rng.random() < 0.3 else ""
    return (
        f'<!doctype html><meta charset="utf-8"><body style="{page}">{badge}<div style="{card}">'
        f'<h1 style="{title}">{html.escape(head)}</h1><div style="{text}">{body}</div></div></body>'
    )


def _sheet_html(pages: Sequence[str], width: int, height: int) -> str:
    style = f"border:0;display:block;width:{width}px;height:{height}px"
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page, quote=True)}" style="{style}"></iframe>' for page in pages
    )
    return f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frames}</body>'


def render_browser_notices(seed: int, count: int, per_shot: int = 8) -> list[bytes]:
    """`count` notices as PNG bytes; several share one start of the browser.

    Raises:
        BrowserMissingError: no `chromium` on the path.

    """
    browser = shutil.which("chromium")
    if browser is None:
        raise BrowserMissingError("the second renderer needs Chromium: apt-get install chromium")
    images: list[bytes] = []
    for shot in range(0, count, per_shot):
        rng = np.random.default_rng([seed, shot])
        width, height = int(rng.choice(WIDTHS)), int(rng.choice(HEIGHTS))
        pages = [notice_html(rng) for _ in range(min(per_shot, count - shot))]
        images += _screenshots(browser, _sheet_html(pages, width, height), width, height, len(pages))
    return images


def _screenshots(browser: str, page: str, width: int, height: int, count: int) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        source.write_text(page, encoding="utf-8")
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={folder}/profile", f"--window-size={width},{height * count}",
             f"--screenshot={shot}",
             source.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        images = []
        with Image.open(shot) as sheet:
            for i in range(count):
                out = io.BytesIO()
                sheet.convert("RGB").crop((0, i * height, width, (i + 1) * height)).save(out, "PNG")
                images.append(out.getvalue())
    return images
