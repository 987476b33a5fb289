"""What the index keeps up with, beside bare NGT in the same run: `make bench-index`.

Vectors are drawn: clusters in a space of a few dimensions, with noise in all, as embeddings have. Records go
through the acknowledgements (parsing, near-duplicates, events) and the backend with its builds in child
processes; Kafka alone is left out. CPU seconds are those of this process and of the builds that have ended.
"""

import argparse
import json
import resource
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from schemas.bundle import CopyHead
from schemas.search import SearchFilter
from schemas.vector import Vector
from worker.index.acknowledge import Updates
from worker.index.attributes import Attributes
from worker.index.backend import IndexIdentity
from worker.index.ngt.binding import ngtpy
from worker.index.ngt.index import NgtIndex, open_ngt_index
from worker.metrics import Metrics
from worker.settings import IndexSettings, TopicSettings
from worker.stream.kafka import InputRecord

Rows = NDArray[np.float32]
POLL = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=200_000, help="images before the sustained part")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1000, help="vectors a second")
    parser.add_argument("--seconds", type=float, default=40, help="of the sustained part")
    parser.add_argument("--searches", type=float, default=50, help="a second, beside it")
    parser.add_argument("--copies", type=float, default=0.05, help="share that are nearly an earlier one")
    parser.add_argument(
        "--growth", type=int, default=0, help="go on to this size and compare the CPU of appends"
    )
    parser.add_argument(
        "--filters", action="store_true", help="filtered searches over an index of --size alone"
    )
    parser.add_argument(
        "--copy-vectors", action="store_true", help="acknowledgements at --size with copy vectors and without"
    )
    parser.add_argument("--bare", type=int, default=4000, help="vectors that bare NGT searches and appends")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, value in run(flags, Path(folder)):
            print(
                f"{name:<42}{value:>14,.4g}" if isinstance(value, float) else f"{name:<42}{value:>14}",
                flush=True,
            )


def run(flags: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Any]]:
    draw = Drawn(flags.dim, flags.copies)
    if flags.filters:
        yield from filtered(flags, folder, draw)
        return
    if flags.copy_vectors:
        yield from beside_copy_vectors(flags, folder, draw)
        return
    log = draw.more(flags.size)
    index = open_index(folder, flags.dim)
    updates = Updates(index, TopicSettings(), 0.02, 10, Metrics(CollectorRegistry()))
    began, cpu = time.perf_counter(), cpu_seconds()
    feed(index, updates, log, 0)
    yield "catch-up, seconds", time.perf_counter() - began
    yield "catch-up, vectors/s", flags.size / (time.perf_counter() - began)
    settle(index)
    yield "catch-up, CPU ms a vector, merges too", 1000 * (cpu_seconds() - cpu) / flags.size
    yield from sustain(flags, index, updates, draw)
    settle(index)
    yield from quality(index, draw)
    yield from scaling(index, draw)
    if flags.growth:
        yield from growth(flags, index, updates, draw)
    yield "peak memory of this process, MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield "peak memory of a build, MB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield "disk, MB", sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
    began, held = time.perf_counter(), index.size().vectors
    index.close()
    index = open_index(folder, flags.dim)
    yield "opened again, seconds", time.perf_counter() - began
    yield "lost to the log's replay", held - index.size().vectors
    index.close()
    if flags.bare:
        yield from bare(flags, folder, draw)


def sustain(
    flags: argparse.Namespace, index: NgtIndex, updates: Updates, draw: "Drawn"
) -> Iterator[tuple[str, Any]]:
    rows = draw.more(int(flags.rate * flags.seconds))
    payloads = [embedded(f"s{number}", row) for number, row in enumerate(rows)]
    searches = Searches(index, flags.searches, draw.rows[:: max(1, len(draw.rows) // 1000)])
    latencies: list[float] = []
    began, done, longest = time.perf_counter(), 0, 0
    while done < len(rows):
        arrived = min(len(rows), int((time.perf_counter() - began) * flags.rate))
        if arrived == done:
            time.sleep(0.002)
            continue
        last = min(arrived, done + POLL)
        updates.apply_all([record(f"s{n}", payloads[n], n) for n in range(done, last)])
        now = time.perf_counter() - began
        latencies += [now - n / flags.rate for n in range(done, last)]
        done = last
        index.turn()
        longest = max(longest, index.size().tail)
    took = time.perf_counter() - began
    found = searches.stop()
    yield "sustained, vectors/s", len(rows) / took
    yield "acknowledged after, p50 ms", 1000 * float(np.percentile(latencies, 50))
    yield "acknowledged after, p99 ms", 1000 * float(np.percentile(latencies, 99))
    yield "longest tail", longest
    yield "searches beside it", len(found)
    yield "failed searches", searches.failed
    yield "search p50 ms", 1000 * float(np.percentile(found, 50))
    yield "search p99 ms", 1000 * float(np.percentile(found, 99))


def quality(index: NgtIndex, draw: "Drawn") -> Iterator[tuple[str, Any]]:
    chosen = np.random.default_rng(5).choice(len(draw.rows), 300, replace=False)
    noise = np.random.default_rng(6).normal(size=(300, draw.rows.shape[1])) * 0.02
    queries = unit(draw.rows[chosen] + noise)
    exact = np.sort(1 - queries @ draw.rows.T, axis=1)[:, 9]
    hits = [
        sum(n.distance <= d + 1e-5 for n in index.search(q, 10)) for q, d in zip(queries, exact, strict=True)
    ]
    yield "recall@10", sum(hits) / 3000
    sample = np.random.default_rng(7).choice(len(draw.rows), 1000, replace=False)
    yield (
        "of 1,000 stored, found with k=1",
        sum(index.search(draw.rows[n], 1)[0].distance < 1e-5 for n in sample),
    )


SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def filtered(flags: argparse.Namespace, folder: Path, draw: "Drawn") -> Iterator[tuple[str, Any]]:
    """Recall and CPU of searches of which a filter lets in a share of all images, drawn by chance."""
    rows, chance = draw.more(flags.size), np.random.default_rng(8).random(flags.size)
    index = open_index(folder, flags.dim)
    for number, row in enumerate(rows):
        tags = tuple(f"share {share}" for share in SHARES if chance[number] < share)
        index.upsert(f"i{number}", row, Attributes(tags=tags))
        if number % POLL == 0:
            index.turn()
    settle(index)
    queries = unit(rows[:100] + np.random.default_rng(6).normal(size=(100, flags.dim)) * 0.02)
    for share in SHARES:
        held, where = rows[chance < share], SearchFilter(tags=[f"share {share}"])
        exact = np.sort(1 - queries @ held.T, axis=1)[:, 9]
        cpu = cpu_seconds()
        found = [index.search(query, 10, None, where) for query in queries]
        yield f"{share:.1%} let in, CPU ms a search", 1000 * (cpu_seconds() - cpu) / len(queries)
        hits = sum(
            near.distance <= d + 1e-5 for answer, d in zip(found, exact, strict=True) for near in answer
        )
        yield f"{share:.1%} let in, recall@10", hits / (10 * len(queries))
    index.close()


COPIES = CopyHead(output="copy", dim=64, space="c", near_duplicate_distance=0.1)
ROUND, ROUNDS = 2 * POLL, 6


def beside_copy_vectors(flags: argparse.Namespace, folder: Path, draw: "Drawn") -> Iterator[tuple[str, Any]]:
    """CPU of acknowledgements with copy vectors and without, in turn, in two indexes of the same images."""
    copies = Drawn(COPIES.dim, flags.copies)
    heads: dict[str, CopyHead | None] = {"with copy vectors": COPIES, "without": None}
    took = dict.fromkeys(heads, 0.0)
    metrics = {name: Metrics(CollectorRegistry()) for name in heads}
    indexes = {
        name: open_index(folder / name, flags.dim, metrics[name], head) for name, head in heads.items()
    }
    for count in (flags.size, *[ROUND] * ROUNDS):
        first, rows, of_rows = len(draw.rows), draw.more(count), copies.more(count)
        for name, index in indexes.items():
            given = None if heads[name] is None else of_rows
            updates = Updates(index, TopicSettings(), 0.1, 10, metrics[name], copies=heads[name])
            records = drawn_records(rows, first, range(count), given)
            cpu = time.thread_time()
            for start in range(0, count, POLL):
                updates.apply_all(records[start : start + POLL])
                index.turn()
            took[name] = took[name] + time.thread_time() - cpu if first else 0.0
            settle(index)
    for name, index in indexes.items():
        yield f"{name}: CPU ms an acknowledgement", 1000 * took[name] / (ROUND * ROUNDS)
        yield f"{name}: a second of CPU", ROUND * ROUNDS / took[name]
        told = metrics[name].registry.get_sample_value
        yield (
            f"{name}: share with a near-duplicate",
            told("mekiki_index_near_duplicates_total") / len(draw.rows),
        )
        for kind in ("embedding", "copy"):
            for where in ("memory", "disk"):
                taken = told(f"mekiki_index_{where}_bytes", {"kind": kind})
                yield f"{name}: {kind}, {where}, bytes an image", taken / len(draw.rows)
        index.close()


def scaling(index: NgtIndex, draw: "Drawn") -> Iterator[tuple[str, Any]]:
    rates = {threads: search_rate(index, draw.rows, threads) for threads in (1, 4)}
    yield "searches/s, 1 thread", rates[1]
    yield "searches/s, 4 threads over 1", rates[4] / rates[1]


def growth(
    flags: argparse.Namespace, index: NgtIndex, updates: Updates, draw: "Drawn"
) -> Iterator[tuple[str, Any]]:
    costs = []
    span = min(100_000, (flags.growth - len(draw.rows)) // 2)
    for size in (len(draw.rows), flags.growth - span):
        feed(index, updates, draw.more(max(0, size - len(draw.rows))), len(draw.rows))
        settle(index)
        before, cpu = len(draw.rows), cpu_seconds()
        feed(index, updates, draw.more(span), before)
        settle(index)
        costs.append(1000 * (cpu_seconds() - cpu) / span)
        yield f"CPU ms an append at {before:,}", costs[-1]
    yield "ratio", costs[-1] / costs[0]


def bare(flags: argparse.Namespace, folder: Path, draw: "Drawn") -> Iterator[tuple[str, Any]]:
    """NGT alone: search 10 neighbours of each vector, then append it."""
    path = str(folder / "bare")
    ngtpy.create(path, dimension=flags.dim, distance_type="L2")
    ngt = ngtpy.Index(path, log_disabled=True)
    ngt.batch_insert(draw.rows[: flags.size], num_threads=2)
    rows = draw.more(flags.bare)
    began, cpu = time.perf_counter(), cpu_seconds()
    for row in rows:
        ngt.search(row, 10, 0.1)
        ngt.insert(row)
        ngt.build_index(num_threads=1)
    yield "bare NGT, vectors/s", flags.bare / (time.perf_counter() - began)
    yield "bare NGT, CPU ms a vector", 1000 * (cpu_seconds() - cpu) / flags.bare


class Drawn:
    """Vectors of unit norm, float32, drawn on demand; some are nearly an earlier one."""

    def __init__(self, dim: int, copies: float) -> None:
        self._random = np.random.default_rng(1)
        self._basis = self._random.normal(size=(24, dim))
        self._centres = self._random.normal(size=(400, 24))
        self._copies = copies
        self.rows: Rows = np.empty((0, dim), np.float32)

    def more(self, count: int) -> Rows:
        chance = self._random
        flat = self._centres[chance.integers(0, 400, count)] + 0.6 * chance.normal(size=(count, 24))
        rows = unit(flat @ self._basis + 0.5 * chance.normal(size=(count, self._basis.shape[1])))
        if len(self.rows):
            again = np.flatnonzero(chance.random(count) < self._copies)
            noise = 0.005 * chance.normal(size=(len(again), rows.shape[1]))
            rows[again] = unit(self.rows[chance.integers(0, len(self.rows), len(again))] + noise)
        self.rows = np.concatenate([self.rows, rows])
        return rows


class Searches:
    """So many searches a second from a thread of their own, until stopped."""

    def __init__(self, index: NgtIndex, rate: float, queries: Rows) -> None:
        self._index, self._rate, self._queries = index, rate, queries
        self._stopping = threading.Event()
        self._took: list[float] = []
        self.failed = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number, began = 0, time.perf_counter()
        while not self._stopping.is_set():
            due = began + number / self._rate
            if self._stopping.wait(max(0.0, due - time.perf_counter())):
                return
            start = time.perf_counter()
            found = self._index.search(self._queries[number % len(self._queries)], 10)
            self._took.append(time.perf_counter() - start)
            self.failed += len(found) != 10
            number += 1

    def stop(self) -> list[float]:
        self._stopping.set()
        self._thread.join()
        return self._took


def search_rate(index: NgtIndex, rows: Rows, threads: int, seconds: float = 4.0) -> float:
    ends, counts = time.perf_counter() + seconds, [0] * threads

    def search(thread: int) -> None:
        while time.perf_counter() < ends:
            index.search(rows[(counts[thread] * 97 + thread) % len(rows)], 10)
            counts[thread] += 1

    running = [threading.Thread(target=search, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / seconds


def feed(index: NgtIndex, updates: Updates, rows: Rows, first: int) -> None:
    for start in range(0, len(rows), POLL):
        part = range(start, min(start + POLL, len(rows)))
        updates.apply_all(drawn_records(rows, first, part))
        index.turn()


def drawn_records(rows: Rows, first: int, part: range, copies: Rows | None = None) -> list[InputRecord]:
    """Embedded records of the rows in `part`, named from `first` on."""
    return [
        record(f"i{first + n}", embedded(f"i{first + n}", rows[n], None if copies is None else copies[n]), n)
        for n in part
    ]


def settle(index: NgtIndex) -> None:
    """Until nothing is built or merged any more."""
    quiet = 0
    while quiet < 10:
        index.turn()
        quiet = 0 if index.is_building() else quiet + 1
        time.sleep(0.05)


def open_index(
    folder: Path, dim: int, metrics: Metrics | None = None, copies: CopyHead | None = None
) -> NgtIndex:
    settings = IndexSettings(directory=folder / "index")
    identity = IndexIdentity(space="s", dim=dim, topic="t")
    return open_ngt_index(settings, identity, metrics or Metrics(CollectorRegistry()), copies)


def record(key: str, value: bytes, offset: int) -> InputRecord:
    return InputRecord(
        topic="t", partition=0, offset=offset, timestamp_ms=0, key=key.encode(), value=value, headers=()
    )


def embedded(image_id: str, row: Rows, copy: Rows | None = None) -> bytes:
    copy_vector = None if copy is None else Vector.from_array(copy).model_dump()
    return json.dumps(
        {
            **({} if copy is None else {"copy_vector": copy_vector, "copy_space": COPIES.space}),
            "type": "listing.image.embedded.v1",
            "event_id": str(uuid.UUID(int=1)),
            "image_id": image_id,
            "listing_id": None,
            "bundle_id": "b",
            "image_sha256": "0" * 64,
            "input": {"event_id": "e", "topic": "u", "partition": 0, "offset": 0},
            "uploaded_at": "2026-01-01T00:00:00Z",
            "decided_at": "2026-01-01T00:00:01Z",
            "space": "s",
            "vector": Vector.from_array(row).model_dump(),
        }
    ).encode()


def unit(rows: NDArray[Any]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def cpu_seconds() -> float:
    """Of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
