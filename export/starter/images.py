"""The image sets as pixels: photos decoded and renders drawn once, kept as arrays in a cache folder."""

import functools
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.embedding.duplicates import posted_pixels
from export.embedding.edits import Edits
from export.embedding.pixels import SIDE, WIDE, PixelSet
from export.render.browser.notices import render_browser_notices
from export.render.uploads import Kind, render_upload
from schemas.bundle import ImageInput
from worker.model.decode import ImageLimits, decode

RENDERER_VERSION = 5
_LIMITS = ImageLimits()
_INPUT = ImageInput(height=SIDE, width=SIDE)
_log = logging.getLogger(__name__)


def _both_sizes(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return decode(data, SIDE, SIDE, _LIMITS).pixels, decode(data, WIDE, WIDE, _LIMITS).pixels


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return _both_sizes(path.read_bytes())


def _render_pixels(
    index: int, kind: Kind, seed: int, backgrounds: tuple[Path, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return _both_sizes(render_upload(kind, seed, index, backgrounds))


def _cached(cache: Path, name: str, key: str, make: Callable[[], PixelSet]) -> PixelSet:
    digest = hashlib.sha256(f"{key}/{SIDE}/{WIDE}".encode()).hexdigest()[:10]
    file = cache / f"{name}-{digest}.npz"
    if not file.exists():
        _log.info("making %s", file.name)
        cache.mkdir(parents=True, exist_ok=True)
        made = make()
        part = file.with_suffix(f".{os.getpid()}.tmp.npz")
        np.savez(part, exact=made.exact, wide=made.wide)
        part.rename(file)
    with np.load(file) as held:
        return PixelSet(held["exact"], held["wide"])


def photo_pixels(cache: Path, name: str, paths: Sequence[Path]) -> PixelSet:
    """Decode photos with the worker's own decoder, through the cache."""

    def make() -> PixelSet:
        with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
            pairs = pool.map(_read, paths, chunksize=64)
        return PixelSet(np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]))

    return _cached(cache, name, "/".join(path.name for path in paths), make)


def rendered_pixels(cache: Path, kind: Kind, seed: int, count: int, backgrounds: Sequence[Path]) -> PixelSet:
    """Render `count` images on all cores, through the cache."""

    def make() -> PixelSet:
        job = functools.partial(_render_pixels, kind=kind, seed=seed, backgrounds=tuple(backgrounds))
        with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
            pairs = pool.map(job, range(count), chunksize=16)
        return PixelSet(np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]))

    names = "/".join(path.name for path in backgrounds)
    return _cached(cache, f"{kind}-{seed}-{count}", f"{RENDERER_VERSION}/{seed}/{count}/{names}", make)


def browser_pixels(cache: Path, seed: int, count: int, backgrounds: Sequence[Path]) -> PixelSet:
    """`count` notices of the browser, through the cache."""
    names = "/".join(path.name for path in backgrounds)
    return pixels_of_uploads(
        cache, f"browser-{seed}-{count}", lambda: render_browser_notices(seed, count, backgrounds), names
    )


def edited_pixels(cache: Path, name: str, paths: Sequence[Path], edit: Edits, seed: int) -> NDArray[np.uint8]:
    """The edits of every photo, uint8 [edits, n, SIDE, SIDE, 3], through the cache under `name`."""
    key = f"{seed}/" + "/".join(path.name for path in paths)
    file = cache / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        job = functools.partial(_edited, edit=edit, seed=seed)
        with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
            made = pool.starmap(job, enumerate(paths), chunksize=16)
        part = file.with_suffix(f".{os.getpid()}.tmp.npy")
        np.save(part, np.stack(made, axis=1))
        part.rename(file)
    held: NDArray[np.uint8] = np.load(file)
    return held


def _edited(index: int, path: Path, edit: Edits, seed: int) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        made = edit(np.random.default_rng([seed, index]), opened.convert("RGB"))
    return np.stack([posted_pixels(picture, _INPUT) for picture in made])


def pixels_of_uploads(
    cache: Path, name: str, make_uploads: Callable[[], Sequence[bytes]], key: str = ""
) -> PixelSet:
    """Pixels of upload bytes that `make_uploads` gives, through the cache; `key` says what they hang on."""

    def make() -> PixelSet:
        pairs = [_both_sizes(data) for data in make_uploads()]
        return PixelSet(np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]))

    return _cached(cache, name, f"{RENDERER_VERSION}/{name}/{key}", make)
