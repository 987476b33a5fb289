"""Train many tags: in processes of this machine, or on a Dask cluster. Where changes no byte of a tag."""

import importlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import TagsError
from export.tags.recipe import TagRecipe
from export.tags.tables import TagTable
from export.tags.training import TagData, train_tag
from worker.model.forest.codebook import Codebook

Asked = tuple[str, NDArray[np.int64]]
_ANSWER_SECONDS = 10
_AHEAD = 64  # tags that a Dask cluster is given before the first is back


def train_tags(
    asked: Mapping[str, NDArray[np.int64]],
    data: TagData,
    recipe: TagRecipe,
    *,
    processes: int = 1,
    dask: str | None = None,
) -> Iterator[TagTable]:
    """The tags of `asked`, in its order: for each name the images that have it.

    Args:
        asked: names, and ascending indices of images.
        data: the images.
        recipe: see `TagRecipe`.
        processes: of this machine.
        dask: the address of a Dask scheduler, whose workers have this program installed.

    Raises:
        TagsError: the cluster does not answer, or Dask is not installed.

    """
    if dask is not None:
        yield from _over_dask(asked, data, recipe, dask)
    elif processes == 1 or len(asked) < 2 * processes:
        for name, positives in asked.items():
            yield train_tag(name, positives, data, recipe)
    else:
        with tempfile.TemporaryDirectory(prefix="mekiki-tags-") as folder:
            save_data(Path(folder), data)
            arguments = (folder, recipe.model_dump_json())
            with ProcessPoolExecutor(processes, get_context("spawn"), _begin, arguments) as pool:
                yield from pool.map(_train, asked.items(), chunksize=4)


def save_data(folder: Path, data: TagData) -> None:
    """Write the arrays of `data`, so that processes map them rather than each hold a copy."""
    for name in ("vectors", "codes", "folds", "whitened"):
        np.save(folder / f"{name}.npy", getattr(data, name))
    np.save(folder / "first.npy", data.codebook.first)
    np.save(folder / "cuts.npy", data.codebook.cuts)


def load_data(folder: Path) -> TagData:
    """What `save_data` wrote."""

    def array(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r")

    return TagData(
        array("vectors"), array("codes"), array("folds"), Codebook(array("first"), array("cuts")),
        array("whitened"),
    )  # fmt: skip


_here: list[Callable[[Asked], TagTable]] = []


def _begin(folder: str, recipe: str) -> None:
    data, own = load_data(Path(folder)), TagRecipe.model_validate(json.loads(recipe))
    _here.append(lambda asked: train_tag(*asked, data, own))


def _train(asked: Asked) -> TagTable:
    return _here[0](asked)


def _over_dask(
    asked: Mapping[str, NDArray[np.int64]], data: TagData, recipe: TagRecipe, address: str
) -> Iterator[TagTable]:
    try:
        distributed: Any = importlib.import_module("distributed")  # an extra
    except ModuleNotFoundError as error:
        raise TagsError(f"--dask needs {error.name}: pip install 'mekiki[dask]'") from None
    try:
        client = distributed.Client(address, timeout=_ANSWER_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise TagsError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise TagsError(f"the Dask scheduler at {address} has no workers: start some with `dask worker`")
        held = client.scatter(data, broadcast=True, hash=False)
        waiting: list[Any] = []
        for name, positives in asked.items():
            waiting.append(client.submit(train_tag, name, positives, held, recipe, pure=False))
            if len(waiting) >= _AHEAD:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
