"""The images that ratings or clicks speak of: their files, their pixels, an encoder's vectors of them."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data import Columns, Dataset, Example, Skipped, SkipReason, parse_source, read_sources
from export.embedding.part import Encoder
from export.errors import DatasetError
from export.preference.log_rows import LogRows
from export.preference.near_identical import grouped, near_identical, thumbnails
from export.preference.networks import CNN_SIDE
from schemas.bundle import ImageInput
from worker.errors import Rejection
from worker.model.decode import ImageLimits, decode_inputs

_SMALL = ImageInput(height=CNN_SIDE, width=CNN_SIDE)
_GROUP_COLUMNS = ("group_id", "sender_id", "sender", "seller_id", "shop_id", "shop", "source")
_COPY_DISTANCE = 0.01  # of thumbnails, where there is no embedding
_LIKE = 0.05  # of thumbnails, beside an embedding
_MOST_NAMES = 5_000_000
_CHUNK = 256


@dataclass(frozen=True)
class Pictures:
    """Decoded images: `pixels` uint8 [n, side, side, 3], with an encoder `vectors` float32 [n, dim].

    `rows` finds an image by the name that a log calls it by. Groups of near-identical images are joined.
    """

    dataset: Dataset
    pixels: NDArray[np.uint8]
    vectors: NDArray[np.float32] | None
    rows: Mapping[str, int]
    near_identical: int


def named_images(table: LogRows, columns: Sequence[str], arguments: argparse.Namespace) -> Dataset:
    """The images of --images, or those that the table names by paths beside it.

    Args:
        table: ratings or clicks.
        columns: usual names of the column that names images.
        arguments: --images, --group-column and the other arguments of data.

    Raises:
        DatasetError: there is none, or the table names more than five million.

    """
    if arguments.images:
        asked = Columns(arguments.path_column, arguments.label_column, arguments.group_column)
        return read_sources([parse_source(source) for source in arguments.images], asked, arguments.encoding)
    name = table.column(arguments.path_column, columns, "the image")
    group = arguments.group_column or table.has(_GROUP_COLUMNS)
    found: dict[str, str] = {}
    for block in table.blocks([name, *([group] if group else [])]):
        groups = block[group].to_pylist() if group else [None] * len(block[name])
        for own, its_group in zip(block[name].to_pylist(), groups, strict=True):
            if own and own not in found:
                found[own] = its_group or own
        if len(found) > _MOST_NAMES:
            raise DatasetError(
                f"{table.path} names more than {_MOST_NAMES:,} images: name those to learn from with --images"
            )
    folder = table.path.parent
    examples = tuple(
        Example(folder / own, own, "", its) for own, its in found.items() if (folder / own).is_file()
    )
    missing = tuple(
        Skipped(own, SkipReason.MISSING_FILE, str(folder / own))
        for own in found
        if not (folder / own).is_file()
    )
    if not examples:
        raise DatasetError(
            f"{table.path} names {len(found)} images, and none is a file beside it: name their folder with "
            "--images"
        )
    return Dataset(examples, missing)


def read_pictures(
    dataset: Dataset, image: ImageInput | None, encoder: Encoder | None, max_broken: float
) -> Pictures:
    """Decode every image once for the network and the encoder; broken ones are left out and counted.

    Raises:
        DatasetError: more than the share `max_broken` does not decode.

    """
    own = image or _SMALL
    inputs = list(dict.fromkeys([own, *([encoder.image] if encoder else [])]))
    kept: list[Example] = []
    broken: list[Skipped] = []
    pixels = np.empty((len(dataset), own.height, own.width, 3), np.uint8)
    vectors: list[NDArray[np.float32]] = []
    for decoded in _chunks(dataset, inputs, broken):
        if not decoded:
            continue
        pixels[len(kept) : len(kept) + len(decoded)] = np.stack([sizes[0] for _, sizes in decoded])
        if encoder is not None:
            vectors.append(
                encoder.vectors(np.stack([sizes[inputs.index(encoder.image)] for _, sizes in decoded]))
            )
        kept += [example for example, _ in decoded]
    if len(broken) > max_broken * len(dataset):
        raise DatasetError(
            f"{len(broken)} of {len(dataset)} images do not decode, over the limit of {max_broken:.0%} "
            f"(--max-broken): {'; '.join(f'{item.name}: {item.detail}' for item in broken[:3])}"
        )
    pixels = pixels[: len(kept)]
    held = Dataset(tuple(kept), dataset.skipped + tuple(broken))
    found = np.concatenate(vectors) if vectors else None
    spaces = [(thumbnails(pixels), _COPY_DISTANCE)]
    if found is not None and encoder is not None:
        spaces = [(spaces[0][0], _LIKE), (found, encoder.head.near_duplicate_distance)]
    copies = near_identical(*spaces)
    joined = grouped(held, copies)
    return Pictures(joined, pixels, found, _rows(joined), len(kept) - len(np.unique(copies)))


def _chunks(
    dataset: Dataset, inputs: Sequence[ImageInput], broken: list[Skipped]
) -> Iterator[list[tuple[Example, tuple[NDArray[np.uint8], ...]]]]:
    def load(example: Example) -> tuple[NDArray[np.uint8], ...] | Skipped:
        try:
            return decode_inputs(example.path.read_bytes(), inputs, ImageLimits()).sizes
        except Rejection as rejection:
            return Skipped(example.name, SkipReason.BROKEN_IMAGE, str(rejection))

    with ThreadPoolExecutor(2) as pool:
        for at in range(0, len(dataset), _CHUNK):
            examples = dataset.examples[at : at + _CHUNK]
            found = list(zip(examples, pool.map(load, examples), strict=True))
            broken += [sizes for _, sizes in found if isinstance(sizes, Skipped)]
            yield [(example, sizes) for example, sizes in found if not isinstance(sizes, Skipped)]


def _rows(dataset: Dataset) -> dict[str, int]:
    """Rows by name, and by file name with and without its ending where only one image has it."""
    whole = {example.name: row for row, example in enumerate(dataset.examples)}
    for part in ("name", "stem"):
        short: list[str] = [getattr(Path(example.name), part) for example in dataset.examples]
        count = Counter(short)
        for row, name in enumerate(short):
            if count[name] == 1:
                whole.setdefault(name, row)
    return whole
