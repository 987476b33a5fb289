"""Pixels: a `Dataset` decoded by the very function that serves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data import Dataset, Example, Skipped, SkipReason
from export.errors import DatasetError
from export.progress import progress
from schemas.bundle import ImageInput
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode_inputs

_IN_MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class DecodedSet:
    """Images of one size: uint8 RGB [n, height, width, 3]; row i belongs to `dataset.examples[i]`."""

    dataset: Dataset
    images: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)


def decode_dataset(
    dataset: Dataset,
    wanted: ImageInput,
    *,
    storage: Path,
    max_broken_share: float = 0.1,
    limits: ImageLimits | None = None,
    workers: int = 2,
) -> DecodedSet:
    """Decode every image to the pixels of a graph input; broken ones are left out and counted.

    Sets over 4 GiB of pixels go to the file `storage` (mapped, not read), smaller ones stay in memory.

    Raises:
        DatasetError: more than `max_broken_share` of the images do not decode.

    """
    images = room_for((len(dataset), wanted.height, wanted.width, 3), np.dtype(np.uint8), storage)
    kept: list[Example] = []
    broken: list[Skipped] = []
    for example, pixels in _decoded(dataset, wanted, limits or ImageLimits(), workers):
        if isinstance(pixels, Skipped):
            broken.append(pixels)
            continue
        images[len(kept)] = pixels
        kept.append(example)
    judge_broken(dataset, broken, max_broken_share)
    return DecodedSet(Dataset(tuple(kept), dataset.skipped + tuple(broken)), images[: len(kept)])


def room_for(shape: tuple[int, ...], dtype: np.dtype[Any], storage: Path) -> NDArray[Any]:
    """An array to fill: in memory, or over 4 GiB in the file `storage` (mapped, not read)."""
    if int(np.prod(shape)) * dtype.itemsize <= _IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    storage.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(storage, "w+", dtype, shape)


def _decoded(
    dataset: Dataset, wanted: ImageInput, limits: ImageLimits, workers: int
) -> Iterator[tuple[Example, NDArray[np.uint8] | Skipped]]:
    def load(example: Example) -> NDArray[np.uint8] | Skipped:
        try:
            return decode_inputs(example.path.read_bytes(), [wanted], limits).pixels
        except Rejection as rejection:
            return Skipped(example.name, SkipReason.BROKEN_IMAGE, str(rejection))

    # Pillow decodes without the GIL. Chunks keep the decoded images that wait bounded.
    chunk = 64 * workers
    with ThreadPoolExecutor(workers) as pool, progress(len(dataset), "decode") as done:
        for start in range(0, len(dataset), chunk):
            examples = dataset.examples[start : start + chunk]
            yield from zip(examples, pool.map(load, examples), strict=True)
            done(len(examples))


def judge_broken(dataset: Dataset, broken: list[Skipped], max_broken_share: float) -> None:
    """Fail where too many of a set's images are broken.

    Raises:
        DatasetError: more than `max_broken_share` of them.

    """
    if len(broken) <= max_broken_share * len(dataset):
        return
    shown = "; ".join(f"{item.name}: {item.detail}" for item in broken[:3])
    raise DatasetError(
        f"{len(broken)} of {len(dataset)} images do not decode, over the limit of {max_broken_share:.0%} "
        f"(--max-broken): {shown}"
    )
