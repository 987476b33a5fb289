"""`mekiki tags`: add, train again, take out, list or show tags of a run, touching no other tag's bytes.

A forest is written anew and put in place by a rename: give --out the file that running workers watch
(`model.tags`), and they take it between two batches.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data import Columns, parse_source
from export.errors import TagsError
from export.tags.labels import TagLabels, read_labels
from export.tags.names import clean_name, look_alikes
from export.tags.store import Store, read_store
from export.tags.tables import TagTable
from export.tags.workers import train_tags
from worker.model.forest.file import ForestFile, open_forest

_SHOWN = 10


def add_tags(arguments: argparse.Namespace) -> int:
    """Train tags of a label table that the set does not have yet.

    Raises:
        TagsError: they are there already, no training image has them, or all have.
        DatasetError: the table cannot be read.

    """
    return _train(arguments, again=False)


def retrain_tags(arguments: argparse.Namespace) -> int:
    """Train tags of the set again, by the labels that are given now; as `add_tags`."""
    return _train(arguments, again=True)


def remove_tags(arguments: argparse.Namespace) -> int:
    """Take tags out.

    Raises:
        TagsError: the set does not have one, or would be empty.

    """
    store = read_store(Path(arguments.run))
    tables = store.tables()
    if unknown := set(arguments.name) - set(tables):
        raise TagsError(f"the set has no tag {', '.join(sorted(unknown))}: see `mekiki tags list`")
    kept = [table for name, table in tables.items() if name not in set(arguments.name)]
    return _replaced(store, kept, arguments, f"{len(tables) - len(kept)} tags taken out")


def list_tags(arguments: argparse.Namespace) -> int:
    """One line a tag: its name, images, trees, threshold, average precision and digest."""
    forest = _forest(Path(arguments.run))
    print(f"# {forest.version}, space {forest.header.space}, {len(forest.names)} tags")  # noqa: T201
    for place in np.argsort(forest.names, kind="stable"):
        own = forest.tags[place]
        print(  # noqa: T201
            f"{forest.names[place]}\t{own['positives']} images\t{own['trees']} trees\t"
            f"from {own['threshold']:.3f}\tAP {own['average_precision']:.3f}\t{own['digest'].tobytes().hex()}"
        )
    return 0


def show_tags(arguments: argparse.Namespace) -> int:
    """All that the set knows of some tags, as JSON lines."""
    forest = _forest(Path(arguments.run))
    for name in arguments.name:
        if name not in forest.names:
            raise TagsError(f"the set has no tag {name!r}: see `mekiki tags list`")
        own = forest.tags[forest.names.index(name)]
        told = {"name": name} | {
            field: own[field].item() for field in forest.tags.dtype.names or () if field != "digest"
        }
        print(json.dumps(told | {"digest": own["digest"].tobytes().hex()}, ensure_ascii=False))  # noqa: T201
    return 0


def _train(arguments: argparse.Namespace, *, again: bool) -> int:
    store = read_store(Path(arguments.run))
    tables = store.tables()
    asked, ignored = _asked(arguments, store)
    known = {name for name in asked if name in tables}
    if again and (unknown := set(asked) - known):
        raise TagsError(
            f"the set has no tag {', '.join(sorted(unknown)[:_SHOWN])}: `mekiki tags add` adds it"
        )
    if not again and known:
        raise TagsError(
            f"the set has {', '.join(sorted(known)[:_SHOWN])} already: `mekiki tags retrain` trains it again"
        )
    trained = list(train_tags(asked, store.data(), store.kept.recipe, processes=arguments.processes))
    for alike in look_alikes([*tables, *asked]):
        if set(alike) & set(asked):
            print(f"look alike: {' / '.join(alike)}", file=sys.stderr)  # noqa: T201
    replaced = tables | {table.name: table for table in trained}
    told = f"{len(trained)} tags {'trained again' if again else 'added'}{ignored}"
    for table in trained:
        told += f"\n{table.name}: {table.positives} images, held-back AP {table.average_precision:.3f}"
    return _replaced(store, list(replaced.values()), arguments, told)


def _asked(arguments: argparse.Namespace, store: Store) -> tuple[dict[str, NDArray[np.int64]], str]:
    """By name the training images that have the tag; and what was passed over."""
    labels = read_labels(
        [parse_source(source) for source in arguments.labels],
        Columns(arguments.path_column, arguments.label_column, arguments.group_column),
        arguments.encoding,
    )
    wanted = {clean_name(name) or name for name in arguments.name} or set(labels.names)
    place = {name: at for at, name in enumerate(store.names)}
    found: dict[str, NDArray[np.int64]] = {}
    for name, rows in zip(labels.names, labels.rows_of(), strict=True):
        if name in wanted:
            found[name] = np.array(sorted(_places(labels, rows, place)), np.int64)
    if not wanted:
        raise TagsError("the labels have no tag: no image of theirs has one")
    if missing := wanted - set(found):
        raise TagsError(f"the labels have no tag {', '.join(sorted(missing)[:_SHOWN])}")
    for name, own in found.items():
        if len(own) < store.kept.minimum_count or len(own) == len(store.names):
            raise TagsError(
                f"{name}: {len(own)} of the {len(store.names)} images of {store.run} have it, and it needs "
                f"{store.kept.minimum_count}, and some without it: label more of them"
            )
    others = sum(example.name not in place for example in labels.dataset.examples)
    return found, f" ({others} labelled images are none of the run's and were passed over)" if others else ""


def _places(labels: TagLabels, rows: NDArray[np.int64], place: dict[str, int]) -> set[int]:
    names = (labels.dataset.examples[row].name for row in rows)
    return {place[name] for name in names if name in place}


def _replaced(store: Store, tables: list[TagTable], arguments: argparse.Namespace, told: str) -> int:
    if not tables:
        raise TagsError("a set of tags cannot be empty")
    version = store.replace(tables)
    if arguments.out is not None:
        target = Path(arguments.out)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(store.forest_path, temporary)
        temporary.replace(target)
    print(f"{told}\n{version}: {len(tables)} tags in {arguments.out or store.forest_path}")  # noqa: T201
    return 0


def _forest(path: Path) -> ForestFile:
    """Of a run, or the forest itself."""
    return open_forest(path) if path.is_file() else read_store(path).forest()
