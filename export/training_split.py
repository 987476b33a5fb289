"""What trainings of one head on one's own images begin with: sources to a split by group, a run, pixels."""

import argparse
from pathlib import Path

from export.copies.together import keep_copies_together
from export.data import (
    Columns,
    Dataset,
    data_digest,
    parse_source,
    read_sources,
    require_images,
    split_by_group,
)
from export.parts import DataSource
from export.pixels import DecodedSet, decode_dataset
from export.run import RunFolder, open_run
from schemas.bundle import ImageInput

# The split stays when images are added, and is the same for every head.
SALT = "mekiki"
SMALLEST = 10
SHARES = {"train": 0.7, "test": 0.3}


def read_split(
    sources: list[str], arguments: argparse.Namespace, option: str = "--images"
) -> dict[str, Dataset]:
    """The images of the sources, which `option` named, as `train` and `test`; a sender is never in both.

    Raises:
        DatasetError: a source cannot be read, there are fewer than ten images, or a set has fewer than two.

    """
    return split_in_two(read_whole(sources, arguments, option), option)


def read_whole(sources: list[str], arguments: argparse.Namespace, option: str = "--images") -> Dataset:
    """The images of the sources, which `option` named; copies of one are of one group.

    Raises:
        DatasetError: a source cannot be read, or there are fewer than ten images.

    """
    columns = Columns(arguments.path_column, arguments.label_column, arguments.group_column)
    whole = read_sources([parse_source(source) for source in sources], columns, arguments.encoding)
    require_images(whole, SMALLEST, f"a training ({option})")
    return keep_copies_together(whole, arguments.copies)


def split_in_two(whole: Dataset, option: str, salt: str = SALT) -> dict[str, Dataset]:
    """The parts `train` and `test` of images that `option` named, by group; another salt, other parts.

    Raises:
        DatasetError: a part has fewer than two.

    """
    split = split_by_group(whole, SHARES, salt)
    for name, dataset in split.items():
        require_images(dataset, 2, f"the set {name!r} of {option} (after splitting by group)")
    return split


def open_training(arguments: argparse.Namespace, split: dict[str, Dataset]) -> RunFolder:
    """A new run folder at --out.

    Raises:
        RunFolderError: it exists already.

    """
    asked = {name: value for name, value in vars(arguments).items() if name not in {"func", "out"}}
    return open_run(Path(arguments.out), asked, data_digest(*split.values()), resume=False)


def decode_split(
    split: dict[str, Dataset], image: ImageInput, run: RunFolder, max_broken: float
) -> dict[str, DecodedSet]:
    """Every set as the pixels of one input.

    Raises:
        DatasetError: more than the share `max_broken` of a set does not decode.

    """
    return {
        name: decode_dataset(
            dataset, image, storage=run.path / "pixels" / f"{name}.npy", max_broken_share=max_broken
        )
        for name, dataset in split.items()
    }


def data_sources(sources: list[str]) -> list[DataSource]:
    """Sources without the folders above them: a card is read by others."""
    return [DataSource(name=shown(source)) for source in sources]


def shown(source: str) -> str:
    """One source, by its own name and conditions."""
    path, colon, rest = source.partition(":")
    return f"{Path(path).name}{colon}{rest}"
