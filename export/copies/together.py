"""Keep copies of one photo together: on both sides of a split they are learnt by heart, then asked for.

By the pairs that `mekiki duplicates` wrote, or that are looked for here. The article on RankNet asks for
this, too.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from export.copies.find import find_copies
from export.data import Dataset
from export.errors import DatasetError
from worker.duplicates.groups import Groups

FIND = "find"


def keep_copies_together(dataset: Dataset, asked: Sequence[str]) -> Dataset:
    """The same images with the groups of copies joined that `--copies` asks for.

    Args:
        dataset: the images.
        asked: outputs of `mekiki duplicates`, and FIND where they are to be looked for here.

    Raises:
        DatasetError: a file is missing, or is none of its outputs.
        ConfigurationError: copies are to be looked for, and OpenCV is not installed.

    """
    copies = read_copies(name for name in asked if name != FIND)
    if FIND in asked:
        copies += find_copies(dataset)
    return keep_together(dataset, copies)


def read_copies(files: Iterable[str]) -> list[list[Path]]:
    """The groups of copies in outputs of `mekiki duplicates`, as absolute paths.

    Raises:
        DatasetError: a file is missing, or is none of its outputs.

    """
    found = []
    for name in files:
        try:
            lines = [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]
            folder = Path(lines[0]["folder"])
            found += [[folder / path for path in line["paths"]] for line in lines if line["type"] == "group"]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DatasetError(
                f"--copies {name} is no output of `mekiki duplicates`, or damaged: "
                f"{type(error).__name__}: {error}"
            ) from None
    return found


def keep_together(dataset: Dataset, copies: Iterable[Iterable[Path]]) -> Dataset:
    """The same images, in groups that are joined wherever they hold copies of one photo.

    A joined group is called as the first of its groups by name, so that its part of a split stays.
    """
    by_path = defaultdict(list)
    for example in dataset.examples:
        by_path[example.path.resolve()].append(example.group)
    groups: Groups[str] = Groups()
    for paths in copies:
        held = [group for path in paths for group in by_path.get(path.resolve(), ())]
        for group in held[1:]:
            groups.join(held[0], group)
    named = {group: min(members) for members in groups.members() for group in members}
    examples = tuple(
        replace(example, group=named.get(example.group, example.group)) for example in dataset.examples
    )
    return Dataset(examples, dataset.skipped)
