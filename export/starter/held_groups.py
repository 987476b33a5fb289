"""What the filter reaches on images that it was not trained on, group by group.

`mekiki evaluate starter --bundle worker/bundles/starter --data ../shared/data`
"""

import argparse
import csv
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from export.graphs import run_onnx
from export.render.svg.cards import GROUPS, render_svg_group
from export.render.svg.notices import render_svg_notices
from export.render.svg.posters import render_svg_qr_posters
from export.render.uploads import Kind
from export.starter.images import browser_pixels, photo_pixels, pixels_of_uploads, rendered_pixels
from export.starter.measure import share_blocked
from export.starter.parts import GRAPH_FILE
from export.starter.photos import of_split, read_clothing, read_grocery
from export.starter.recipe import SEED_HELD

PRINTED_LIST = Path(__file__).with_name("printed_shirts.txt")
HELD_RENDERS = 200
SEED_SVG_NOTICES, SEED_SVG_POSTERS, SEED_SVG_CARDS = 900, 901, 902
Images = NDArray[np.uint8]


def printed_shirts() -> frozenset[str]:
    """File names of held T-shirts with print on them."""
    lines = PRINTED_LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _labelled(folder: Path, label: str | None = None) -> list[Path]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as lines:
        return [folder / row["path"] for row in csv.DictReader(lines) if label in {None, row["label"]}]


def product_groups(data: Path, cache: Path) -> dict[str, Images]:
    """Photos of products that no training saw: other senders, the grocery set's `val`, printed shirts."""
    clothing = of_split(read_clothing(data), "test")
    grocery = of_split(read_grocery(data), "test")
    printed = printed_shirts()
    paths = {
        "clothing-test": [photo.path for photo in clothing],
        "grocery-test": [photo.path for photo in grocery],
        "printed-shirts": [photo.path for photo in clothing if photo.path.name in printed],
    }
    return {name: photo_pixels(cache, name, own).exact for name, own in paths.items()}


def turned(images: Images, degrees: float = 20.0) -> Images:
    """Each image turned by up to `degrees` on white, either way, always by the same angle: as `images`."""
    angles = np.random.default_rng(20).uniform(-degrees, degrees, len(images))
    return np.stack([
        np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)))
        for image, angle in zip(images, angles, strict=True)
    ])  # fmt: skip


def notice_groups(data: Path, cache: Path) -> dict[str, Images]:
    """Notices and QR codes: a renderer never trained on, zxing's photographs, held seeds of our own."""
    grounds = [photo.path for photo in of_split(read_clothing(data), "test")]
    svg_notices = pixels_of_uploads(
        cache,
        f"svg-{SEED_SVG_NOTICES}-{HELD_RENDERS}",
        lambda: render_svg_notices(SEED_SVG_NOTICES, HELD_RENDERS),
    ).exact
    groups = {
        "notice-svg": svg_notices,
        "qr-poster-svg": pixels_of_uploads(
            cache,
            f"svg-poster-{SEED_SVG_POSTERS}-{HELD_RENDERS}",
            lambda: render_svg_qr_posters(SEED_SVG_POSTERS, HELD_RENDERS),
        ).exact,
        "notice-svg-turned": turned(svg_notices),
        "qr-zxing": photo_pixels(cache, "qr-zxing", _labelled(data / "codes", "qr")).exact,
        "browser-notice-held": browser_pixels(cache, SEED_HELD, HELD_RENDERS, grounds).exact,
    }
    held_kinds: tuple[Kind, ...] = ("notice", "qr_poster", "qr_photo", "typst_notice", "typst_qr_poster")
    for number, kind in enumerate(held_kinds):
        held = rendered_pixels(cache, kind, SEED_HELD + number, HELD_RENDERS, grounds)
        groups[f"{kind.replace('_', '-')}-held"] = held.exact
    return groups


def card_groups(cache: Path) -> dict[str, Images]:
    """Kinds of notices that the mix of the renderer has few of, by the renderer that is not trained on."""
    return {
        f"notice-svg-{name}": pixels_of_uploads(
            cache,
            f"svg-{name}-{SEED_SVG_CARDS}-{HELD_RENDERS}",
            partial(render_svg_group, name, SEED_SVG_CARDS, HELD_RENDERS),
        ).exact
        for name in GROUPS
    }


def other_groups(data: Path, cache: Path) -> dict[str, Images]:
    """Neither: bar codes, screenshots, faces. Nothing is promised for them; the figures are told."""
    paths = {
        "barcode": _labelled(data / "codes", "barcode_1d")[::4],
        "screens-ja": _labelled(data / "screens_ja"),
        "faces": _labelled(data / "faces"),
    }
    return {name: photo_pixels(cache, name, own).exact for name, own in paths.items()}


def held_groups(data: Path, cache: Path) -> dict[str, Images]:
    """Every group by name, none of it trained on."""
    notices = notice_groups(data, cache) | card_groups(cache)
    return product_groups(data, cache) | notices | other_groups(data, cache)


def shares_blocked(graph: Path, groups: Mapping[str, Images]) -> dict[str, JsonValue]:
    """Share of every group that the default policy blocks."""
    return {name: share_blocked(run_onnx(graph, images)).as_figure() for name, images in groups.items()}


def evaluate_starter(arguments: argparse.Namespace) -> int:
    """Print the figures of a bundle, or of a variant of its graph, as JSON; 0 when done."""
    graph = arguments.graph or arguments.bundle / GRAPH_FILE
    figures = shares_blocked(graph, held_groups(arguments.data, arguments.cache))
    print(json.dumps(figures, indent=2))  # noqa: T201 - the command's result
    return 0
