"""Recall, memory and time while vectors come, go and come back: a streaming runbook, beside hnswlib.

    make bench-runbook      (python -m benchmarks.runbook --help)

The runbook and its vectors are drawn (benchmarks/runbook_drawn.py). It is played on the worker's own index,
then on hnswlib with its own deletes: each alone on the machine, in a process of its own, at most so many
changes a second. At each search recall@10 is measured against an exact one over what lives then.
benchmarks/runbook_plot.py draws the result.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.apart import Apart
from benchmarks.place import RESULTS
from benchmarks.runbook_drawn import SEARCHES, Runbook, draw
from benchmarks.runbook_played import Truth, play, truths_of
from worker.cores import cores

SIZES = {"vectors": 300_000, "queries": 500, "clusters": 64, "rounds": 5, "dim": 128}


def main() -> None:
    """Play, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--rate", type=float, default=2500, help="changes a second, at most")
    parser.add_argument("--environments", type=Path, default=Path(".venv-bench").absolute())
    parser.add_argument("--out", type=Path, default=RESULTS / "runbook.json")
    flags = parser.parse_args()
    sizes = {name: getattr(flags, name) for name in SIZES}
    runbook = draw(**sizes)
    truths = list(truths_of(runbook))
    result = {
        "when": datetime.now(UTC).date().isoformat(),
        "cores": cores(),
        "command": {**sizes, "rate": flags.rate},
        "runbook": described(runbook, truths),
        "indexes": played_on_each(runbook, truths, flags.rate, flags.environments),
    }
    flags.out.parent.mkdir(exist_ok=True, parents=True)
    flags.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(table(result))


def described(runbook: Runbook, truths: Sequence[Truth]) -> dict[str, int]:
    """How many there are of each: tags by what is done with them, searches, vectors that live at a time."""
    tags = Counter[str]()
    for step in runbook.steps:
        tags[step.operation] += len(step.tags)
    return {
        **tags,
        "search": len(truths),
        "vectors": len(runbook.vectors),
        "most_living": max(truth.living for truth in truths),
    }


def played_on_each(
    runbook: Runbook, truths: Sequence[Truth], rate: float, environments: Path
) -> dict[str, Any]:
    """What each index found and took."""
    dim, most = str(runbook.vectors.shape[1]), str(max(truth.living for truth in truths))
    with tempfile.TemporaryDirectory(prefix="mekiki-runbook-") as scratch:
        folders = {name: Path(scratch, name) for name in ("mekiki", "hnswlib")}
        for folder in folders.values():
            folder.mkdir()
        ours = (sys.executable, "-m", "benchmarks.runbook_ours", str(folders["mekiki"]), dim)
        python = str(environments / "hnswlib" / "bin" / "python")
        theirs = (python, "-m", "benchmarks.peers.hnswlib_index", dim, most)
        mekiki = measured(runbook, truths, rate, Apart(ours, folders["mekiki"]))
        found = mekiki["checkpoints"][SEARCHES - 1]["recall"]
        hnswlib = measured(runbook, truths, rate, Apart(theirs, folders["hnswlib"]), found)
        return {"mekiki": mekiki, "hnswlib": hnswlib}


def measured(
    runbook: Runbook, truths: Sequence[Truth], rate: float, index: Apart, wanted: float | None = None
) -> dict[str, Any]:
    """Every checkpoint with what the processes took up to it, and all of it in short; ends the process.

    Where a recall is `wanted`, the index is tuned to it before the first deletion.
    """
    found: list[dict[str, Any]] = []
    tuned: dict[str, Any] = {}
    try:
        for checkpoint in play(runbook, truths, index.call, rate):
            found.append({**asdict(checkpoint), **index.footprint.taken()})
            print(f"{checkpoint.round} {checkpoint.living:>8,} {checkpoint.recall:.4f}", flush=True)
            if wanted is not None and len(found) == SEARCHES:
                nearest = truths[len(found) - 1].nearest
                tuned["ef"] = index.call("tune", runbook.queries, nearest, wanted).answer
        settled = {"wall": index.call("settle").wall, **index.footprint.taken()}
    finally:
        index.close()
    return {**tuned, "summary": summary(found, settled), "settled": settled, "checkpoints": found}


def summary(found: Sequence[dict[str, Any]], settled: dict[str, float]) -> dict[str, Any]:
    """All checkpoints in short: MB, seconds, and milliseconds of wall time and CPU by operation."""
    milliseconds: dict[str, dict[str, float]] = {}
    for operation in ("insert", "return", "replace", "delete", "search"):
        works = [one["work"][operation] for one in found if operation in one["work"]]
        count = sum(work["count"] for work in works)
        milliseconds[operation] = {
            kind: 1000 * sum(work[kind] for work in works) / max(1, count) for kind in ("wall", "cpu")
        }
    works = [work for one in found for work in one["work"].values()]
    return {
        "lowest_recall": min(one["recall"] for one in found),
        "mean_recall": sum(one["recall"] for one in found) / len(found),
        "dead_results": sum(one["dead"] for one in found),
        "peak_memory": max(one["memory"] for one in found),
        "peak_disk": max(one["disk"] for one in found),
        "seconds": sum(work["wall"] for work in works) + settled["wall"],
        "cpu_seconds": settled["cpu"],
        "cpu_seconds_of_builds": settled["cpu"] - sum(work["cpu"] for work in works),
        "milliseconds": milliseconds,
    }


def table(result: dict[str, Any]) -> str:
    """The result for a person."""
    names = list(result["indexes"])
    rows = {name: dict(each["summary"]) for name, each in result["indexes"].items()}
    for row in rows.values():
        for operation, took in row.pop("milliseconds").items():
            row.update({f"{operation}, {kind} ms": value for kind, value in took.items()})
    lines = [f"{'':26}" + "".join(f"{name:>12}" for name in names)]
    lines += [
        f"{what:26}" + "".join(f"{rows[name][what]:>12.5g}" for name in names) for what in rows[names[0]]
    ]
    return "\n".join([str(result["runbook"]), *lines])


if __name__ == "__main__":
    main()
