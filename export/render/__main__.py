"""`python -m export.render`: write a folder of rendered images."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from export.errors import RenderError
from export.render.browser.notices import render_browser_notices
from export.render.svg.notices import render_svg_notices
from export.render.svg.posters import render_svg_qr_posters
from export.render.uploads import Kind, render_upload, suffix_of

# Renderers that draw a whole set at once.
_SETS = {
    "browser_notice": render_browser_notices,
    "svg_notice": render_svg_notices,
    "svg_qr_poster": render_svg_qr_posters,
}
KINDS = (*get_args(Kind), *_SETS)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main(argv: Sequence[str] | None = None) -> int:
    """Write `--count` images of one kind; the same arguments give the same files.

    Returns 2, after a sentence that says what to install, where fonts or Chromium are missing.
    """
    parser = argparse.ArgumentParser(prog="python -m export.render", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--photos", type=Path, help="photos to draw on; `product` changes them and needs them"
    )
    options = parser.parse_args(argv)
    if options.kind == "product" and options.photos is None:
        parser.error("--kind product needs --photos, a folder of product photos to change")
    photos = (
        sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if options.photos
        else []
    )
    if options.photos and not photos:
        parser.error(f"--photos {options.photos} holds no image")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for index, data in enumerate(_uploads(options, photos)):
            name = f"{options.kind}-{options.seed}-{index:05d}{suffix_of(data)}"
            (options.out / name).write_bytes(data)
    except RenderError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _uploads(options: argparse.Namespace, photos: Sequence[Path]) -> Iterator[bytes]:
    if options.kind in _SETS:
        yield from _SETS[options.kind](options.seed, options.count, photos)
        return
    for index in range(options.count):
        yield render_upload(options.kind, options.seed, index, tuple(photos))


if __name__ == "__main__":
    raise SystemExit(main())
