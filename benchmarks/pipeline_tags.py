"""Kafka to Kafka with 30,000 tags beside the bundle's own: images a second, and CPU milliseconds an image.

    python -m benchmarks.pipeline_tags [--tags 30000] [--events 3000] [--runs 3]

`mekiki score` as in benchmarks/pipeline.py, exactly once, in turn with the starter's tags, with the same at
the batch size that a large forest wants, and with a forest of drawn trees of depth 6 under `model.tags`: a
forest answers every tree in full, so what its trees say changes nothing of what they cost. A few tags an
image are published. Ratios are taken within a round, since shared machines drift; their medians are told.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.place import RESULTS, Bench, bench
from benchmarks.ways import Measured, mekiki
from export.tags.tables import TagTable, set_leaves, write_forest
from schemas.forest import LEAVES, NODES, TREE
from worker.model.bundle import read_manifest
from worker.model.forest.codebook import Codebook, fit_codebook
from worker.settings import STARTER_BUNDLE

TREES, THRESHOLD = 50, 0.9
_LARGEST_LEAF = 10_000
# A margin's spread, and its mean: about seven tags of 30,000 reach the threshold with an image.
_SPREAD, _BASE = 1.2, -2.0


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tags", type=int, default=30_000)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    parser.add_argument("--batch-size", type=int, default=256, help="model.batch_size beside many tags")
    parser.add_argument("--out", type=Path, default=RESULTS / "pipeline_tags.json")
    flags = parser.parse_args()
    flags.before, flags.environments = None, Path()
    with bench(flags) as place:
        forest = place.folder.parent / "many.forest"
        write_drawn_forest(forest, flags.tags)
        batch = {"MEKIKI_MODEL__BATCH_SIZE": str(flags.batch_size)}
        ways = {
            "own": {},
            "own, large batches": batch,
            "many": {**batch, "MEKIKI_MODEL__TAGS": str(forest)},
        }
        rounds = [measured_round(place, ways, number) for number in range(flags.runs)]
    result = summary(rounds, flags)
    flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


def measured_round(place: Bench, ways: Mapping[str, dict[str, str]], number: int) -> dict[str, Measured]:
    """Each way once."""
    found = {}
    for at, (way, settings) in enumerate(ways.items()):
        found[way] = mekiki(place, f"t{number}.{at}.", settings=settings)
        told = f"{found[way].rate:8.0f} images/s{found[way].cpu['all']:8.2f} ms of CPU an image"
        print(f"  round {number + 1} {way:20}{told}", flush=True)
    return found


def write_drawn_forest(path: Path, tags: int) -> None:
    """A forest of `tags` tags over the starter's embedding, every tree complete and drawn."""
    manifest, _ = read_manifest(STARTER_BUNDLE)
    embedding = manifest.embedding
    assert embedding is not None
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4000, embedding.dim)).astype(np.float32)
    book = fit_codebook(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    write_forest(path, book, embedding.space, "1", list(_drawn(rng, book, tags)))


def _drawn(rng: np.random.Generator, book: Codebook, tags: int) -> Iterator[TagTable]:
    scale = _SPREAD / (_LARGEST_LEAF * float(np.sqrt(TREES / 3)))
    for number in range(tags):
        trees = np.zeros(TREES, TREE)
        trees["question"] = rng.integers(0, len(book.cuts), (TREES, NODES))
        leaves = rng.integers(-_LARGEST_LEAF, _LARGEST_LEAF + 1, (TREES, LEAVES), np.int16)
        set_leaves(trees, leaves)
        yield TagTable(f"tag {number}", trees, scale, base=_BASE, threshold=THRESHOLD)


def summary(rounds: list[dict[str, Measured]], flags: argparse.Namespace) -> dict[str, object]:
    """Medians of rates, of CPU times, and of both in parts of the way without many tags."""

    def medians(way: str) -> dict[str, float]:
        return {
            "images_per_second": statistics.median(one[way].rate for one in rounds),
            "rate_of_own": statistics.median(one[way].rate / one["own"].rate for one in rounds),
            "cpu_milliseconds": statistics.median(one[way].cpu["all"] for one in rounds),
            "cpu_of_own": statistics.median(one[way].cpu["all"] / one["own"].cpu["all"] for one in rounds),
            "memory_megabytes": max(one[way].memory for one in rounds),
        }

    return {
        "when": datetime.now(UTC).date().isoformat(),
        "command": {"tags": flags.tags, "events": flags.events, "runs": flags.runs, "side": flags.side},
        "ways": {way: medians(way) for way in rounds[0]},
    }


def table(result: dict[str, object]) -> str:
    """The result for a person."""
    ways = result["ways"]
    assert isinstance(ways, dict)
    lines = [f"{'':20}{'images/s':>10}{'of own':>8}{'CPU ms':>9}{'of own':>8}{'MB':>7}"]
    lines += [
        f"{way:20}{found['images_per_second']:10.0f}{found['rate_of_own']:8.2f}"
        f"{found['cpu_milliseconds']:9.2f}{found['cpu_of_own']:8.2f}{found['memory_megabytes']:7.0f}"
        for way, found in ways.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
