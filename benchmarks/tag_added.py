"""What `mekiki tags add` takes for one tag beside a thousand, and whether the others keep their bytes."""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.tag_boosters import positives
from export.parts import Part, describe_file, write_part
from export.tags.recipe import TagRecipe
from export.tags.store import Store, read_store, write_store
from export.tags.tables import TagTable
from export.tags.tag_set import TagSet
from export.tags.training import TagData
from schemas.bundle import Graph, ImageInput, TagHead
from worker.model.forest.codebook import Codebook

_SENDERS = 500
_ADDED = 10**6  # a synthetic tag that none of the others is


def add_one(run: Path, vectors: np.ndarray, book: Codebook, tables: Sequence[TagTable]) -> str:
    """Make a run of these tags over `vectors` [n, dim] in the folder `run`, and add one: what to print."""
    store = write_run(run, vectors, book, tables)
    before = digests(run)
    labels = run / "tuesday.csv"
    rows = np.flatnonzero(positives(book.encode(vectors), _ADDED))
    labels.write_text("path,tags\n" + "".join(f"{store.names[row]},tuesday\n" for row in rows))
    command = [sys.executable, "-m", "worker.cli", "tags", "add", str(run), "--labels", str(labels)]
    began, used = time.perf_counter(), _cpu_seconds()
    subprocess.run(command, check=True, capture_output=True)
    took, used = time.perf_counter() - began, _cpu_seconds() - used
    after = digests(run)
    same = sum(after[name] == digest for name, digest in before.items())
    return (
        f"one tag added to {len(before)} in {took:.1f} s ({used:.1f} s of CPU); {same} others have the same "
        f"bytes, {len(after) - len(before)} is new"
    )


def digests(run: Path) -> dict[str, bytes]:
    """By name, of all that each tag of the run is."""
    return {name: table.digest() for name, table in read_store(run).tables().items()}


def write_run(run: Path, vectors: np.ndarray, book: Codebook, tables: Sequence[TagTable]) -> Store:
    """As `mekiki train tags` leaves it, of images that are empty files."""
    names = [f"{row}.jpg" for row in range(len(vectors))]
    recipe, senders = TagRecipe(), [f"sender {row % _SENDERS}" for row in range(len(vectors))]
    found = TagSet(TagData.of(vectors, senders, book, recipe), recipe, list(tables))
    store = write_store(run, found, names, senders, minimum_count=5)
    store.part_folder.mkdir(parents=True)
    for file in (*(run / name for name in names), store.part_folder / "graph.onnx"):
        file.write_bytes(b"x")
    found.write(store.forest_path, "synthetic", "1")
    head = TagHead(output="o", file=store.forest_path.name, format="forest", minimum_score=0)
    graph = Graph(file="graph.onnx", inputs={"i": ImageInput(height=16, width=16)}, outputs={"o": "o"})
    files = [describe_file(store.part_folder / name) for name in ("graph.onnx", store.forest_path.name)]
    write_part(store.part_folder, Part(head=head, graphs=[graph], files=files))
    return store


def _cpu_seconds() -> float:
    """Of the processes that this one waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
