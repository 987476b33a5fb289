"""How many edited copies `mekiki duplicates` finds, edit by edit, at a stated rate of false pairs."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.data import Example
from worker.duplicates.local_features import LEAST_INLIERS, LEAST_OVERLAP, Alignment, Picture
from worker.duplicates.read import Reader
from worker.errors import Rejection
from worker.model.decode import DecodedImage

Edit = Callable[[Image.Image], Image.Image]
FALSE_RATE = 1e-4
_QUALITY = 92
_BATCH = 32


@dataclass(frozen=True)
class Compared:
    """A copy and a candidate for the photo that it was made of."""

    edit: str
    copy: int
    photo: int
    alignment: Alignment

    @property
    def score(self) -> float:
        """What a threshold is set on: the agreement, where enough features lay one over the other."""
        found = self.alignment
        return found.agreement * (found.inliers >= LEAST_INLIERS and found.overlap >= LEAST_OVERLAP)


@dataclass(frozen=True)
class Comparison:
    """`compared` are candidates that were verified; every other of the `pairs` scores 0.

    `pairs` counts all false ones: each copy with every photo but its own. `nearness` is the cosine of the
    vectors, float32 [copies, photos] by edit; `copies` are the places of the photos that were edited.
    """

    compared: Sequence[Compared]
    copies: Sequence[int]
    nearness: Mapping[str, NDArray[np.float32]]

    @property
    def pairs(self) -> int:
        """How many false pairs there are."""
        return sum(value.size - len(value) for value in self.nearness.values())


@dataclass(frozen=True)
class EditRow:
    """Shares of an edit's copies: by vector alone, among the candidates, verified at both thresholds."""

    edit: str
    by_vector: float
    among_candidates: float
    at_false_rate: float
    as_served: float


def described(
    photos: Sequence[bytes], reader: Reader, workers: int
) -> tuple[NDArray[np.float32], list[Picture]]:
    """Vectors float32 [n, dim] and pictures of encoded images, as `mekiki duplicates` makes them."""
    vectors, pictures = [], []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(photos), _BATCH):
            made: list[tuple[DecodedImage, Picture]] = list(
                pool.map(reader.picture, photos[start : start + _BATCH])
            )
            vectors.append(reader.vectors([decoded for decoded, _ in made]))
            pictures += [picture for _, picture in made]
    return np.concatenate(vectors), pictures


def readable(examples: Sequence[Example], reader: Reader) -> tuple[list[Example], list[bytes]]:
    """The examples that decode, and their bytes."""
    kept, data = [], []
    for example in examples:
        encoded = example.path.read_bytes()
        try:
            reader.decode(encoded, [], reader.limits)
        except Rejection:
            continue
        kept.append(example)
        data.append(encoded)
    return kept, data


def edited(photo: bytes, edit: Edit) -> bytes:
    """A JPEG of the photo after an edit."""
    with Image.open(io.BytesIO(photo)) as opened:
        image = edit(opened.convert("RGB"))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def compare(
    photos: Sequence[bytes],
    copies: Sequence[int],
    edits: Mapping[str, Edit],
    reader: Reader,
    candidates: int,
    *,
    workers: int = 1,
    progress: Callable[[str], object] = lambda _: None,
) -> Comparison:
    """Edit the photos at the places `copies` in every way, and look for their originals among all photos."""
    vectors, pictures = described(photos, reader, workers)
    compared: list[Compared] = []
    nearness = {}
    for name, edit in edits.items():
        own, shown = described([edited(photos[i], edit) for i in copies], reader, workers)
        nearness[name] = own @ vectors.T
        compared += _verified(name, nearness[name], copies, shown, pictures, reader, candidates, workers)
        progress(name)
    return Comparison(compared, copies, nearness)


def _verified(
    edit: str,
    near: NDArray[np.float32],
    copies: Sequence[int],
    shown: Sequence[Picture],
    pictures: Sequence[Picture],
    reader: Reader,
    candidates: int,
    workers: int,
) -> Iterator[Compared]:
    wanted = [
        (row, int(photo))
        for row in range(len(copies))
        for photo in np.argsort(-near[row], kind="stable")[:candidates]
    ]
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda pair: reader.features.align(shown[pair[0]], pictures[pair[1]]), wanted)
        for (row, photo), alignment in zip(wanted, found, strict=True):
            yield Compared(edit, copies[row], photo, alignment)


def threshold(comparison: Comparison, false_rate: float = FALSE_RATE) -> float:
    """The least score that at most `false_rate` of all false pairs reach."""
    allowed = int(comparison.pairs * false_rate)
    false = sorted((one.score for one in comparison.compared if one.copy != one.photo), reverse=True)
    return float(np.nextafter(false[allowed], 2)) if allowed < len(false) else float(np.nextafter(0, 1))


def rows(comparison: Comparison, false_rate: float = FALSE_RATE) -> list[EditRow]:
    """A row an edit."""
    cut = max(threshold(comparison, false_rate), float(np.nextafter(0, 1)))
    near = _vector_cut(comparison, false_rate)
    count, told = len(comparison.copies), []
    for edit, value in comparison.nearness.items():
        own = [one for one in comparison.compared if one.edit == edit and one.copy == one.photo]
        true = value[np.arange(count), list(comparison.copies)]
        told.append(
            EditRow(
                edit,
                float((true > near).mean()),
                len(own) / count,
                sum(one.score >= cut for one in own) / count,
                sum(one.alignment.is_copy for one in own) / count,
            )
        )
    return told


def _vector_cut(comparison: Comparison, false_rate: float) -> float:
    """The nearness that at most `false_rate` of all false pairs lie over."""
    false = []
    for value in comparison.nearness.values():
        others = np.ones_like(value, bool)
        others[np.arange(len(value)), list(comparison.copies)] = False
        false.append(value[others])
    return float(np.quantile(np.concatenate(false), 1 - false_rate))


def false_pairs(comparison: Comparison) -> tuple[int, int]:
    """How many false pairs the served thresholds verify, and of how many."""
    found = sum(one.alignment.is_copy for one in comparison.compared if one.copy != one.photo)
    return found, comparison.pairs


def photo_paths(examples: Sequence[Example], pairs: Comparison) -> list[tuple[Path, Path]]:
    """The photos of false pairs that are verified, to be looked at; each once."""
    wrong = {
        (min(one.copy, one.photo), max(one.copy, one.photo))
        for one in pairs.compared
        if one.copy != one.photo and one.alignment.is_copy
    }
    return [(examples[one].path, examples[other].path) for one, other in sorted(wrong)]
