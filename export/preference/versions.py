"""Versions of photos at several qualities, as a quality head takes them: drawn once, whatever the split."""

import hashlib
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from export.data import Dataset, Example, Skipped, SkipReason
from export.embedding.part import Encoder
from export.errors import DatasetError
from export.pixels import judge_broken
from export.preference.detail import DETAIL, quality_features
from export.preference.ladder import LEVELS, QUALITY_DEGRADATIONS, TILTS, degrade
from export.preference.turning import kept_level, turned_by_opencv, turned_by_splines
from export.progress import progress
from worker.errors import Rejection
from worker.model.colour import PLAIN
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.opaque import to_opaque

VERSIONS_FOLDER = "versions"  # of a run folder
# Renderers of a tilt that no training sees, one a photo.
ELSEWHERE: dict[str, Callable[[np.random.Generator, Image.Image, float], Image.Image]] = {
    "tilt by OpenCV": turned_by_opencv, "tilt by splines": turned_by_splines
}  # fmt: skip
# Of each photo: the kind that shows least, twice, and as many of the others as this; with one kind a photo
# each had too few examples (docs/models.md).
_TWICE = "tilt"
_OTHERS_A_PHOTO = 2
_AS_IT_WAS, _SAVED_ANEW, _RESAMPLED = range(3)
_BLOCK = 64  # photos of one file
_LONGEST_SIDE = 1024
_PNG_SHARE = 0.4


@dataclass(frozen=True)
class Versions:
    """Features of n photos, float32, `width` numbers each.

    `originals` [n, 3, width]: as it was, saved anew, resampled but level. `worse` [n, kinds, LEVELS, width],
    mild to heavy, of `kinds` [n, kinds]. `names` [n] are those of the examples.
    """

    names: NDArray[np.str_]
    originals: NDArray[np.float32]
    worse: NDArray[np.float32]
    kinds: NDArray[np.str_]

    def of(self, dataset: Dataset) -> "Versions":
        """Those of the photos of a set."""
        held = np.isin(self.names, [example.name for example in dataset.examples])
        return Versions(**{name: values[held] for name, values in _arrays(self).items()})


@dataclass(frozen=True)
class Ladders:
    """Photos at several qualities, best first: float32 [n, LEVELS + 1, width], and the kind of each [n]."""

    quality: NDArray[np.float32]
    kinds: NDArray[np.str_]


def ladders(
    versions: Versions, rng: np.random.Generator, kinds: Collection[str], resampled_share: float
) -> Ladders:
    """Every ladder of `kinds`, below an original: half of them saved anew, which is no sign of anything.

    A share of the originals is resampled in their place, so that smoothing alone is no sign of a tilt.
    """
    shape = versions.kinds.shape
    first = rng.integers(_AS_IT_WAS, _SAVED_ANEW + 1, shape)
    first[rng.random(shape) < resampled_share] = _RESAMPLED
    best = versions.originals[np.arange(shape[0])[:, None], first]
    wanted = np.isin(versions.kinds, list(kinds))
    quality = np.concatenate([best[wanted][:, None], versions.worse[wanted]], axis=1)
    return Ladders(quality, versions.kinds[wanted])


def read_versions(
    encoder: Encoder, dataset: Dataset, seed: int, folder: Path, max_broken_share: float
) -> Versions:
    """Draw and measure the versions of every photo, in a file of `folder` for some; what lies there is kept.

    What is drawn hangs on `seed` and the photo's own bytes alone.

    Raises:
        DatasetError: more than `max_broken_share` of the photos, or all, do not decode.

    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Versions] = []
    with progress(len(dataset), "versions") as done:
        for at in range(0, len(dataset), _BLOCK):
            examples = dataset.examples[at : at + _BLOCK]
            found += _block(encoder, examples, seed, folder / f"{at:08}.npz")
            done(len(examples))
    held = {name for block in found for name in block.names.tolist()}
    broken = [
        Skipped(example.name, SkipReason.BROKEN_IMAGE, "not an image that the worker takes")
        for example in dataset.examples
        if example.name not in held
    ]
    judge_broken(dataset, broken, max_broken_share)
    if not found:
        raise DatasetError(f"not one of {len(dataset)} photos decodes")
    return _joined(found)


def _joined(parts: Sequence[Versions]) -> Versions:
    each = [_arrays(part) for part in parts]
    return Versions(**{name: np.concatenate([part[name] for part in each]) for name in each[0]})


def _arrays(versions: Versions) -> dict[str, NDArray[Any]]:
    return {field.name: getattr(versions, field.name) for field in fields(versions)}


def _block(encoder: Encoder, examples: Sequence[Example], seed: int, path: Path) -> list[Versions]:
    if path.exists():
        with np.load(path) as held:
            return [Versions(**held)]
    found = [one for example in examples if (one := _of_photo(encoder, example, seed)) is not None]
    if not found:
        return []
    block = _joined(found)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **_arrays(block))
    unfinished.replace(path)
    return [block]


def _of_photo(encoder: Encoder, example: Example, seed: int) -> Versions | None:
    """Versions of one photo, decoded as the worker would; None where it does not decode."""
    data = example.path.read_bytes()
    try:
        steps = [decoded(encoder, data)]
    except Rejection:
        return None
    kinds, uploads = drawn(data, seed)
    steps += [decoded(encoder, upload) for upload in uploads]
    pixels = np.stack([shown for shown, _ in steps])
    measured = torch.tensor([numbers for _, numbers in steps])
    vectors = torch.from_numpy(encoder.vectors(pixels))
    features = quality_features(torch.from_numpy(pixels), vectors, measured).numpy()
    originals, worse = features[: _RESAMPLED + 1], features[_RESAMPLED + 1 :]
    shape = (1, len(kinds), LEVELS, features.shape[1])
    return Versions(np.array([example.name]), originals[None], worse.reshape(shape), np.array([kinds]))


def drawn(data: bytes, seed: int) -> tuple[list[str], list[bytes]]:
    """The kinds that are drawn for an image file; it saved anew, resampled, and LEVELS files of each kind."""
    rng = np.random.default_rng([seed, *hashlib.sha256(data).digest()])
    with Image.open(io.BytesIO(data)) as opened:
        upright = ImageOps.exif_transpose(opened)
        photo = to_opaque(upright, upright.size, PLAIN)[0].convert("RGB")
    photo.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    others = [kind for kind in QUALITY_DEGRADATIONS if kind != _TWICE]
    kinds = [_TWICE, _TWICE, str(rng.choice(list(ELSEWHERE)))]
    kinds += rng.choice(others, _OTHERS_A_PHOTO, replace=False).tolist()
    made = [photo, kept_level(rng, photo, TILTS)]
    made += [_degraded(rng, photo, kind, level) for kind in kinds for level in range(1, LEVELS + 1)]
    return kinds, [_upload(rng, one) for one in made]


def _degraded(rng: np.random.Generator, photo: Image.Image, kind: str, level: int) -> Image.Image:
    if kind in ELSEWHERE:
        return ELSEWHERE[kind](rng, photo, TILTS[level - 1])
    return degrade(rng, photo, kind, level)


def decoded(encoder: Encoder, data: bytes) -> tuple[NDArray[np.uint8], list[float]]:
    """An image as the encoder takes it, and the numbers of DETAIL.

    Raises:
        Rejection: the worker would not take it.

    """
    found = decode_inputs(data, [encoder.image], ImageLimits(), measures=frozenset(DETAIL))
    return found.pixels, [found.measured[name] for name in DETAIL]


def _upload(rng: np.random.Generator, photo: Image.Image) -> bytes:
    """As a seller's program would save it: a JPEG that is hardly smaller, or a PNG."""
    out = io.BytesIO()
    if rng.random() < _PNG_SHARE:
        photo.save(out, "PNG", compress_level=1)
    else:
        photo.save(out, "JPEG", quality=int(rng.integers(88, 97)))
    return out.getvalue()
