"""Writes the demo's images: `python -m export.starter.demo_assets --data DIR --out worker/demo/assets`.

A hundred CC0 clothing photos of senders that no training reads, and notices and QR codes rendered
with seeds that no training uses. The same fonts give the same bytes.
"""

import argparse
import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from export.render.pillow.fonts import installed_fonts
from export.render.pillow.notices import render_notice
from export.render.pillow.qr import render_qr_photo, render_qr_poster
from export.starter.photos import excluded_photos
from worker.errors import MekikiError

PHOTOS, NOTICES, CODES = 100, 40, 25
PHOTO_BYTES, RENDER_BYTES = 20_000, 30_000
SEED = 90_001  # no training or test set has it
LICENCE = """These photos are from the clothing dataset of Alexey Grigorev and contributors
(github.com/alexeygrigorev/clothing-dataset), dedicated to the public domain under CC0 1.0
(creativecommons.org/publicdomain/zero/1.0). They were downscaled. File names are the data set's own,
after the label. No model of this project was trained on them or on other photos of their senders.
"""


def _jpeg_under(image: Image.Image, limit: int) -> bytes:
    """The image as a JPEG of at most `limit` bytes: quality falls first, then size."""
    for side in (640, 512, 400, 320, 256, 200):
        small = image.convert("RGB").copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in (88, 80, 70):
            out = io.BytesIO()
            small.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= limit:
                return out.getvalue()
    return out.getvalue()


def choose_photos(data: Path, count: int) -> list[tuple[str, Path]]:
    """(label, file) of `count` excluded photos, labels in turn so that every kind is shown."""
    excluded = excluded_photos()
    by_label: dict[str, list[Path]] = defaultdict(list)
    with (data / "clothing" / "labels.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            path = data / "clothing" / row["path"]
            if path.name in excluded and row["label"] not in {"Not sure", "Other", "Skip"}:
                by_label[row["label"]].append(path)
    chosen: list[tuple[str, Path]] = []
    while len(chosen) < count and any(by_label.values()):
        for label in sorted(by_label):
            if by_label[label] and len(chosen) < count:
                chosen.append((label, sorted(by_label[label]).pop(0)))
                by_label[label].remove(chosen[-1][1])
    return chosen


def write_photos(data: Path, folder: Path) -> None:
    """The photos with their licence."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "LICENSE").write_text(LICENCE, encoding="utf-8")
    for label, path in choose_photos(data, PHOTOS):
        with Image.open(path) as image:
            (folder / f"{label.lower()}-{path.name[:8]}.jpg").write_bytes(_jpeg_under(image, PHOTO_BYTES))


def write_renders(folder: Path) -> None:
    """Notices and QR codes, drawn on textures alone so that no photo is needed."""
    fonts = installed_fonts()
    for name in ("notices", "qr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(NOTICES):
        rng = np.random.default_rng([SEED, 1, index])
        image = render_notice(rng, fonts)
        (folder / "notices" / f"notice-{index:02d}.jpg").write_bytes(_jpeg_under(image, RENDER_BYTES))
    for index in range(CODES):
        rng = np.random.default_rng([SEED, 2, index])
        photographed = index % 5 >= 3
        image = render_qr_photo(rng) if photographed else render_qr_poster(rng, fonts)
        kind = "photo" if photographed else "poster"
        (folder / "qr" / f"qr-{kind}-{index:02d}.jpg").write_bytes(_jpeg_under(image, RENDER_BYTES))


def main(argv: Sequence[str] | None = None) -> int:
    """Write all three folders."""
    parser = argparse.ArgumentParser(prog="python -m export.starter.demo_assets", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    write_photos(arguments.data, arguments.out / "photos")
    write_renders(arguments.out)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except MekikiError as error:
        raise SystemExit(f"export.starter.demo_assets: {error}") from None
