"""Images a second of the tag stage: the forest, one booster a tag, XGBoost itself.

    python -m benchmarks.tags [--tags 30000] [--trained 200] [--rows 5000] [--runs 3]

Labels are synthetic: directions among 196 numbers. `--trained` tags are really trained (XGBoost, depth
6, 50 trees, on the uint8 codes of one codebook); the rest are drawn: the trained tags with their dimensions
exchanged and their leaves changed, so that questions are asked as trained trees do, all over the codebook.
Every trained tag's margins are compared with its booster's. One line a way and batch; `--threads` cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xgboost

from export.tags.tables import TagTable, set_leaves, trees_of, write_forest
from worker.errors import BundleError
from worker.model.forest.answers import Kernel
from worker.model.forest.bits import BitsKernel
from worker.model.forest.codebook import CUTS, Codebook, fit_codebook
from worker.model.forest.compiled import WIDTHS, CompiledKernel
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import ForestFile, open_forest

DIM, TREES, DEPTH = 196, 50, 6
ASKED = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.3, "max_bin": 64, "nthread": 1}
PRIOR = -4.0
PUBLISHED = 0.9
_BASELINE = 100  # tags of the ways that are too slow for all


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
    parser.add_argument("--dask", type=int, default=0, help="tags that are trained over Dask too")
    parser.add_argument("--kernels", nargs="+", help="of these names alone; default: all that run here")
    parser.add_argument("--linear", action="store_true", help="a linear term under every tag")
    parser.add_argument("--forest", type=Path, help="keep the forest here, or measure the one that is here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        measure(options, options.forest or Path(scratch, "tags.forest"))


def measure(options: argparse.Namespace, path: Path) -> None:
    """All of it."""
    rng = np.random.default_rng(0)
    vectors = spread(rng, options.rows)
    book = fit_codebook(vectors, options.cuts)
    began = time.perf_counter()
    boosters = train(book.encode(vectors), range(options.trained), options.threads)
    took = time.perf_counter() - began
    print(
        f"{options.trained} tags of {TREES} trees trained on {options.rows} rows in {took:.0f} s", flush=True
    )
    if options.dask:
        began = time.perf_counter()
        same = [bytes(b.save_raw("ubj")) for b in boosters[: options.dask]] == train_over_dask(
            book.encode(vectors), range(options.dask)
        )
        took = time.perf_counter() - began
        print(
            f"{options.dask} over two Dask workers in {took:.0f} s: {'the same' if same else 'OTHER'} bytes"
        )
    if not path.exists():
        began = time.perf_counter()
        tables = [
            TagTable(f"tag {i}", *trees_of(booster, book), base=PRIOR, threshold=PUBLISHED)
            for i, booster in enumerate(boosters)
        ]
        drawn = [draw(rng, tables[i % len(tables)], book, i) for i in range(len(tables), options.tags)]
        every = [*tables, *drawn]
        if options.linear:
            every = [replace(t, linear=rng.normal(0, 0.02, DIM).astype(np.float32)) for t in every]
        write_forest(path, book, "synthetic", "1", every)
        del tables, drawn, every
        print(f"written in {time.perf_counter() - began:.1f} s")
    print(f"{path.stat().st_size / 1e6:.0f} MB")
    began = time.perf_counter()
    forest = open_forest(path)
    print(f"loaded and checked in {time.perf_counter() - began:.2f} s; {len(forest.trees):,} trees")
    images = spread(np.random.default_rng(1), 512)
    print(f"{'way':34} {'batch':>5} {'images/s':>9} {'CPU ms/image':>12} {'margin differs':>14}")
    for kernel in (k for k in kernels() if not options.kernels or k.name in options.kernels):
        differs = compare(forest, kernel, boosters, images)
        for batch in (32, 256, 512):
            evaluator = Evaluator(forest, kernel, options.threads)
            asked = least(forest)
            report(
                f"forest, {kernel.name}",
                batch,
                options.runs,
                partial(evaluator.hits, images[:batch], asked),
                differs,
            )
            evaluator.close()
    print(f"resident at most {resident(path):.2f} GB in a process that maps it and answers 512 images")
    few = boosters[:_BASELINE]
    share, codes = options.tags / len(few), book.encode(images[:64])
    report(f"one booster a tag (x {share:g})", 64, options.runs, partial(loop, few, codes), None, share)
    merged = partial(merge(few).inplace_predict, codes.astype(np.float32))
    report(f"one booster of all (x {share:g})", 64, options.runs, merged, None, share)


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


def spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Vectors float32 [count, 196] of length 1 with the correlations that embeddings have."""
    mixing = np.random.default_rng(99).normal(size=(DIM, DIM)) * np.linspace(2, 0.2, DIM)[:, np.newaxis]
    vectors = rng.normal(size=(count, DIM)) @ mixing
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def train(codes: np.ndarray, tags: Sequence[int], workers: int) -> list[xgboost.Booster]:
    """A booster for each tag, in as many processes as `workers`."""
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (codes,)) as pool:
        raw = pool.map(_train_here, tags, chunksize=4)
        return [xgboost.Booster(model_file=bytearray(one)) for one in raw]


_codes: list[np.ndarray] = []


def _begin(codes: np.ndarray) -> None:
    _codes.append(codes)


def _train_here(tag: int) -> bytes:
    return train_one(_codes[0], tag)


def train_one(codes: np.ndarray, tag: int) -> bytes:
    """The booster of one synthetic tag, which 3 % of the images have, as UBJSON."""
    rng = np.random.default_rng([tag, 5])
    direction, other = rng.normal(size=(2, DIM))
    centred = 255 * (codes / codes.max() - 0.5)
    value = centred @ direction + 0.01 * centred[:, 3] * (centred @ other)
    labels = (value > np.quantile(value, 0.97)).astype(np.float32)
    data = xgboost.DMatrix(codes, label=labels, base_margin=np.full(len(labels), PRIOR), nthread=1)
    return bytes(xgboost.train({**ASKED, "seed": tag}, data, TREES).save_raw("ubj"))


def train_over_dask(codes: np.ndarray, tags: Sequence[int]) -> list[bytes]:
    """The same, by two workers of a local Dask cluster."""
    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        cluster.get_client() as client,
    ):
        held = client.scatter(codes, broadcast=True)
        return client.gather([client.submit(train_one, held, tag) for tag in tags])


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
