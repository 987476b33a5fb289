"""Images a second of the tag stage: the forest, one booster a tag, XGBoost itself.

    python -m benchmarks.tags [--tags 30000] [--trained 1000] [--rows 5000] [--runs 3]

Labels are synthetic: directions among 196 numbers. `--trained` tags are really trained (XGBoost, depth
6, 50 trees, on the uint8 codes of one codebook); the rest are drawn: the trained tags with their dimensions
exchanged and their leaves changed, so that questions are asked as trained trees do, all over the codebook.
Every trained tag's margins are compared with its booster's, and in a sample of trees the leaf that each image
reaches. One line a way and batch; `--threads` cores. With `--boosters` what is trained is kept, and a
training that `--seconds` ended goes on where it was. `--dask` trains some over two Dask workers as well,
`--add` adds one tag to those trained, by `mekiki tags add`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xgboost

from benchmarks.tag_added import add_one
from benchmarks.tag_boosters import (
    DIM,
    PRIOR,
    TREES,
    KeptBoosters,
    leaves_numbered,
    spread,
    train_over_dask,
)
from export.tags.tables import TagTable, set_leaves, trees_of, write_forest
from worker.errors import BundleError
from worker.model.forest.answers import Kernel
from worker.model.forest.bits import BitsKernel
from worker.model.forest.codebook import CUTS, Codebook, fit_codebook
from worker.model.forest.compiled import WIDTHS, CompiledKernel
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import ForestFile, open_forest

PUBLISHED = 0.9
_BASELINE = 100  # tags of the ways that are too slow for all
_ROUTED = 20  # trained tags whose every tree is followed


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tags", type=int, default=30_000)
    parser.add_argument("--trained", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cuts", type=int, default=CUTS, help="of each dimension of the codebook")
    parser.add_argument("--boosters", type=Path, help="folder that keeps what is trained, or has it already")
    parser.add_argument("--seconds", type=float, default=np.inf, help="after which training stops for now")
    parser.add_argument("--dask", type=int, default=0, help="tags that are trained over Dask too")
    parser.add_argument("--add", action="store_true", help="add one tag to those trained")
    parser.add_argument("--kernels", nargs="+", help="of these names alone; default: all that run here")
    parser.add_argument("--linear", action="store_true", help="a linear term under every tag")
    parser.add_argument("--forest", type=Path, help="keep the forest here, or measure the one that is here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        measure(options, Path(scratch))


def measure(options: argparse.Namespace, scratch: Path) -> None:
    """All of it."""
    vectors = spread(np.random.default_rng(0), options.rows)
    book = fit_codebook(vectors, options.cuts)
    kept = KeptBoosters(options.boosters or scratch / "boosters")
    if not trained(options, kept, book.encode(vectors)):
        return
    boosters = kept.boosters(options.trained)
    tables = [
        TagTable(f"tag {i}", *trees_of(booster, book), base=PRIOR, threshold=PUBLISHED)
        for i, booster in enumerate(boosters)
    ]
    if options.add:
        print(add_one(scratch / "run", vectors, book, tables), flush=True)
    path = options.forest or scratch / "tags.forest"
    if not path.exists():
        write(options, path, book, tables)
    del tables
    print(f"{path.stat().st_size / 1e6:.0f} MB")
    began, used = time.perf_counter(), time.process_time()
    forest = open_forest(path)
    print(
        f"loaded and checked in {time.perf_counter() - began:.2f} s ({time.process_time() - used:.2f} s of "
        f"CPU); {len(forest.trees):,} trees"
    )
    images = spread(np.random.default_rng(1), 512)
    asked = [kernel for kernel in kernels() if not options.kernels or kernel.name in options.kernels]
    print(routed(scratch / "routed.forest", boosters[:_ROUTED], book, asked, images))
    print(f"{'way':34} {'batch':>5} {'images/s':>9} {'CPU ms/image':>12} {'margin differs':>14}")
    for kernel in asked:
        measure_kernel(options, forest, kernel, boosters, images)
    print(f"resident at most {resident(path):.2f} GB in a process that maps it and answers 512 images")
    measure_boosters(options, boosters[:_BASELINE], book.encode(images[:64]))


def trained(options: argparse.Namespace, kept: KeptBoosters, codes: np.ndarray) -> bool:
    """Train, or go on with it; whether all are there now."""
    kept.train(codes, options.trained, options.threads, options.seconds)
    if missing := kept.missing(options.trained):
        print(f"{len(missing)} of {options.trained} tags are still to be trained: run this again")
        return False
    took = kept.cpu_seconds(options.trained)
    print(
        f"{options.trained} tags of {TREES} trees trained on {options.rows} rows in {took:.0f} s of CPU, "
        f"{took / options.trained:.2f} s each",
        flush=True,
    )
    if options.dask:
        began = time.perf_counter()
        same = train_over_dask(codes, range(options.dask)) == list(kept.models(options.dask))
        took = time.perf_counter() - began
        told = "the same" if same else "OTHER"
        print(f"{options.dask} over two Dask workers in {took:.0f} s: {told} bytes", flush=True)
    return True


def write(options: argparse.Namespace, path: Path, book: Codebook, tables: Sequence[TagTable]) -> None:
    """A forest of the trained tags, and of as many drawn ones as are asked for."""
    began, rng = time.perf_counter(), np.random.default_rng(2)
    drawn = [draw(rng, tables[i % len(tables)], book, i) for i in range(len(tables), options.tags)]
    every = [*tables, *drawn]
    if options.linear:
        every = [replace(t, linear=rng.normal(0, 0.02, DIM).astype(np.float32)) for t in every]
    write_forest(path, book, "synthetic", "1", every)
    print(f"written in {time.perf_counter() - began:.1f} s")


def measure_kernel(
    options: argparse.Namespace,
    forest: ForestFile,
    kernel: Kernel,
    boosters: Sequence[xgboost.Booster],
    images: np.ndarray,
) -> None:
    """A line for each batch."""
    differs, asked = compare(forest, kernel, boosters, images), least(forest)
    for batch in (32, 256, 512):
        evaluator = Evaluator(forest, kernel, options.threads)
        run = partial(evaluator.hits, images[:batch], asked)
        report(f"forest, {kernel.name}", batch, options.runs, run, differs)
        evaluator.close()


def measure_boosters(options: argparse.Namespace, few: Sequence[xgboost.Booster], codes: np.ndarray) -> None:
    """The ways without a forest, on a few tags and by their share of all."""
    share = options.tags / len(few)
    report(f"one booster a tag (x {share:g})", 64, options.runs, partial(loop, few, codes), None, share)
    merged = partial(merge(few).inplace_predict, codes.astype(np.float32))
    report(f"one booster of all (x {share:g})", 64, options.runs, merged, None, share)


def routed(
    path: Path,
    boosters: Sequence[xgboost.Booster],
    book: Codebook,
    asked: Sequence[Kernel],
    images: np.ndarray,
) -> str:
    """Whether every image reaches, in every tree of `boosters`, the leaf that XGBoost gives it.

    Each tree is a tag of its own here, whose leaves have the booster's numbers as their values.
    """
    numbered = [leaves_numbered(booster) for booster in boosters]
    tables = [
        TagTable(f"{tag} {tree}", *trees_of(booster[tree : tree + 1], book))
        for tag, booster in enumerate(numbered)
        for tree in range(TREES)
    ]
    write_forest(path, book, "numbered", "1", tables)
    forest, codes = open_forest(path), xgboost.DMatrix(book.encode(images))
    leaves = np.concatenate([booster.predict(codes, pred_leaf=True) for booster in boosters], axis=1)
    wrong = sum(
        int((kernel.block(forest, images).margins(0, len(tables)) != leaves.T).sum()) for kernel in asked
    )
    return f"routing: {wrong} of {len(asked) * leaves.size:,} leaves are others than XGBoost's"


def resident(path: Path) -> float:
    """Gigabytes that a process of its own has at most, when it serves the forest."""
    code = (
        "import numpy as np; from pathlib import Path\n"
        "from worker.model.forest.file import open_forest\n"
        "from worker.model.tag import ForestTagger\n"
        f"tagger = ForestTagger(open_forest(Path({str(path)!r})), 0.0, 0)\n"
        f"tagger(np.random.default_rng(0).normal(size=(512, {DIM})).astype('f4') / 14)\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1e6)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def draw(rng: np.random.Generator, like: TagTable, book: Codebook, number: int) -> TagTable:
    """Another tag: the questions of `like` about other dimensions, nearby cuts, other leaves."""
    trees = like.trees.copy()
    first = book.first.astype(np.int64)
    dimension = np.searchsorted(first, trees["question"], side="right") - 1
    share = (trees["question"] - first[dimension] + rng.uniform(0, 1, dimension.shape)) / np.diff(first)[
        dimension
    ]
    moved = rng.permutation(DIM)[dimension]
    spans = np.diff(first)[moved]
    trees["question"] = first[moved] + np.minimum(share * spans, spans - 1).astype(np.int64)
    leaves = trees["low"].astype(np.int32) + 256 * (trees["high"].astype(np.int32) - 128)
    set_leaves(trees, (leaves * rng.uniform(0.9, 1, leaves.shape)).astype(np.int16))
    return replace(like, name=f"tag {number}", trees=trees)


def kernels() -> list[Kernel]:
    """Every kernel that runs here."""
    found: list[Kernel] = []
    for width in sorted(WIDTHS, reverse=True):
        try:
            found.append(CompiledKernel(width))
        except BundleError as error:
            print(f"{WIDTHS[width]}: {error}")
    try:
        from worker.model.forest.jit import JitKernel  # noqa: PLC0415

        found.append(JitKernel())
    except ModuleNotFoundError as error:
        print(f"numba: {error}")
    return [*found, BitsKernel()]


def least(forest: ForestFile) -> np.ndarray:
    """The margins that are published: those of the probability `PUBLISHED`."""
    return np.full(forest.header.tags, np.log(PUBLISHED / (1 - PUBLISHED)), np.float32)


def compare(
    forest: ForestFile, kernel: Kernel, boosters: Sequence[xgboost.Booster], images: np.ndarray
) -> float:
    """The largest difference of a trained tag's margin from its booster's, over all of them and `images`."""
    codes = forest.codebook.encode(images)
    got = kernel.block(forest, images).margins(0, len(boosters))
    linear = forest.linear[: len(boosters)] @ images.T if len(forest.linear) else np.zeros(got.shape)
    base = np.full(len(codes), PRIOR)
    return max(
        float(
            np.abs(
                booster.predict(xgboost.DMatrix(codes, base_margin=base + under), output_margin=True) - row
            ).max()
        )
        for booster, row, under in zip(boosters, got, linear, strict=True)
    )


def loop(boosters: Sequence[xgboost.Booster], codes: np.ndarray) -> None:
    """What one writes first."""
    for booster in boosters:
        booster.inplace_predict(codes)


def merge(boosters: Sequence[xgboost.Booster]) -> xgboost.Booster:
    """The same trees in one booster with an output for each tag."""
    whole = json.loads(bytes(boosters[0].save_raw("json")))
    model = whole["learner"]["gradient_booster"]["model"]
    trees = [
        tree
        for booster in boosters
        for tree in json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"][
            "trees"
        ]
    ]
    model["trees"] = [{**tree, "id": i} for i, tree in enumerate(trees)]
    model["tree_info"] = [i // TREES for i in range(len(trees))]
    model["gbtree_model_param"] |= {"num_trees": str(len(trees)), "num_parallel_tree": "1"}
    model["iteration_indptr"] = [0, len(trees)]
    whole["learner"]["learner_model_param"] |= {
        "num_target": str(len(boosters)),
        "base_score": json.dumps([0.5] * len(boosters)),
    }
    return xgboost.Booster(model_file=bytearray(json.dumps(whole).encode()))


def report(
    way: str, batch: int, runs: int, run: Callable[[], object], differs: float | None, share: float = 1
) -> None:
    """One line: the best of `runs`, after one that does not count."""
    run()
    wall, cpu = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    told = "" if differs is None else f"{differs:.5f}"
    rate, each = batch / (min(wall) * share), min(cpu) * share / batch * 1e3
    print(f"{way:34} {batch:5d} {rate:9,.1f} {each:12.3f} {told:>14}", flush=True)


if __name__ == "__main__":
    main()
