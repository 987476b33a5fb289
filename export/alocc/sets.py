"""The image sets of a one-class training, and what each may be used for.

train        target class: R and D learn on it, and on nothing else
validation   target class: scales and fusion of the scores
threshold    products of the training side: the threshold, nothing else
positive     target class, held back: measured once
product      products, held back: measured once
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from export.alocc.settings import AloccSettings, DataSettings, Space
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
from export.errors import DatasetError
from export.pixels import DecodedSet, decode_dataset
from export.run import RunFolder
from export.training_split import SALT

Decoded = Mapping[Space, Mapping[str, DecodedSet]]
_SMALLEST_CLASS = 10
_FLAGS = {
    "train": "--positive",
    "validation": "--positive",
    "threshold": "--product",
    "positive": "--positive, or of --test-positive",
    "product": "--product, or of --test-product",
}


@dataclass(frozen=True)
class AloccSets:
    """See the module."""

    train: Dataset
    validation: Dataset
    threshold: Dataset
    positive: Dataset
    product: Dataset

    def by_name(self) -> dict[str, Dataset]:
        """The sets by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def digest(self) -> str:
        """One digest over the digests of all sets."""
        return data_digest(*self.by_name().values())


def read_sets(settings: DataSettings) -> AloccSets:
    """Read and split; a sender or source is never on both sides of a split.

    Test sources that are named are used whole; without them a share of the others is held back.

    Raises:
        DatasetError: a source cannot be read, or a set has too few images.

    """
    positive = keep_copies_together(_read(settings.positive, settings), settings.copies)
    product = keep_copies_together(_read(settings.product, settings), settings.copies)
    require_images(positive, _SMALLEST_CLASS, "the target class (--positive)")
    shares = {"train": 0.9, "validation": 0.1} if settings.test_positive else _with_test(0.8, 0.1)
    split = split_by_group(positive, shares, SALT)
    held = _read(settings.test_positive, settings) if settings.test_positive else split["test"]
    product_shares = {"threshold": 1.0} if settings.test_product else {"threshold": 0.6, "test": 0.4}
    product_split = split_by_group(product, product_shares, SALT)
    held_product = _read(settings.test_product, settings) if settings.test_product else product_split["test"]
    sets = AloccSets(split["train"], split["validation"], product_split["threshold"], held, held_product)
    for name, dataset in sets.by_name().items():
        require_images(dataset, 1, f"the set {name!r} of {_FLAGS[name]} (after splitting by group)")
    _require_disjoint(sets)
    return sets


def with_other_tests(
    sets: AloccSets, settings: DataSettings, test_positive: list[str], test_product: list[str]
) -> AloccSets:
    """The same sets with other images to measure, where any are named; threshold and scales stay.

    Raises:
        DatasetError: a source cannot be read, or holds images of the training.

    """
    changed = sets
    if test_positive:
        changed = replace(changed, positive=_read(test_positive, settings))
    if test_product:
        changed = replace(changed, product=_read(test_product, settings))
    _require_disjoint(changed)
    return changed


def decode_sets(settings: AloccSettings, sets: AloccSets, run: RunFolder) -> Decoded:
    """Every set at every space's side, through the worker's decoder.

    Raises:
        DatasetError: too many images are broken, or a set has none left.

    """
    decoded: dict[Space, Mapping[str, DecodedSet]] = {}
    for space, asked in settings.spaces.items():
        chosen = {}
        for name, dataset in sets.by_name().items():
            storage = run.path / "pixels" / f"{space}-{name}.npy"
            chosen[name] = decode_dataset(
                dataset, asked.model.pixels(), storage=storage, max_broken_share=settings.data.max_broken
            )
            if not len(chosen[name]):
                raise DatasetError(f"no image of the set {name!r} decodes: look at {_FLAGS[name]}")
        decoded[space] = chosen
    return decoded


def _with_test(train: float, validation: float) -> dict[str, float]:
    return {"train": train, "validation": validation, "test": 1 - train - validation}


def _read(sources: list[str], settings: DataSettings) -> Dataset:
    columns = Columns(settings.path_column, settings.label_column, settings.group_column)
    return read_sources([parse_source(source) for source in sources], columns, settings.encoding)


def _require_disjoint(sets: AloccSets) -> None:
    seen: dict[object, str] = {}
    for name, dataset in sets.by_name().items():
        for example in dataset.examples:
            other = seen.setdefault(example.path.resolve(), name)
            if other != name:
                raise DatasetError(
                    f"{example.path} is in two sets, {other!r} (of {_FLAGS[other]}) and {name!r} (of "
                    f"{_FLAGS[name]}): give disjoint sources"
                )
