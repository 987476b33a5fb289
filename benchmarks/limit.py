"""The limit of the machine: the fastest way to the served scores from bytes in memory, without Kafka.

    python -m benchmarks.limit FOLDER EVENTS

Decoding and the model alone, batches of 32, in ways that are tried in turn: processes that do both, and
threads that decode beside one model. Prints JSON: images/s of each, and CPU ms an image of both steps.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.cores import cores
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode
from worker.model.infer import ImageBatch
from worker.settings import ModelSettings

BATCH = 32
LIMITS = ImageLimits()


class Judge:
    """Decode and model in this process."""

    def __init__(self, threads: int) -> None:
        self._model = load_bundle(ModelSettings(threads=threads)).model
        (self._size,) = self._model.manifest.image_inputs()

    def pixels(self, data: bytes) -> NDArray[np.uint8]:
        return decode(data, self._size.height, self._size.width, LIMITS).pixels

    def judge(self, batch: Sequence[NDArray[np.uint8]]) -> None:
        self._model.infer(ImageBatch([np.stack(batch)], {}))


def in_processes(images: list[bytes], count: int) -> float:
    """Each core has a process that decodes a batch and judges it; images a second."""
    context = get_context("spawn")
    ready, start = context.Barrier(cores() + 1), context.Barrier(cores() + 1)
    share = count // cores()
    children = [context.Process(target=_work, args=(images, share, ready, start)) for _ in range(cores())]
    for child in children:
        child.start()
    ready.wait()
    began = time.perf_counter()
    start.wait()
    for child in children:
        child.join()
    return share * len(children) / (time.perf_counter() - began)


def _work(images: list[bytes], count: int, ready: Barrier, start: Barrier) -> None:
    judge = Judge(1)
    ready.wait()
    start.wait()
    for first in range(0, count, BATCH):
        some = range(first, min(first + BATCH, count))
        judge.judge([judge.pixels(images[number % len(images)]) for number in some])


def in_threads(images: list[bytes], count: int, decoding: int, model: int) -> float:
    """Threads decode the next batches while one is judged; images a second."""
    judge = Judge(model)
    with ThreadPoolExecutor(decoding) as pool:
        began = time.perf_counter()
        decoded = pool.map(lambda number: judge.pixels(images[number % len(images)]), range(count))
        batch = []
        for pixels in decoded:
            batch.append(pixels)
            if len(batch) == BATCH:
                judge.judge(batch)
                batch = []
        if batch:
            judge.judge(batch)
        return count / (time.perf_counter() - began)


def cpu_milliseconds(images: list[bytes], count: int) -> dict[str, float]:
    """CPU of one image in each of the two steps, one after another in one thread."""
    judge = Judge(1)
    began = time.process_time()
    pixels = [judge.pixels(images[number % len(images)]) for number in range(count)]
    decoded = time.process_time()
    for first in range(0, count, BATCH):
        judge.judge(pixels[first : first + BATCH])
    ended = time.process_time()
    return {"decode": (decoded - began) / count * 1e3, "model": (ended - decoded) / count * 1e3}


def main() -> None:
    images = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
    count = int(sys.argv[2])
    rates = {"processes": in_processes(images, count)}
    for decoding in sorted({cores(), 2 * cores()}):
        for model in sorted({1, cores()}):
            rates[f"threads {decoding}+{model}"] = in_threads(images, count, decoding, model)
    json.dump(
        {
            "images_per_second": rates,
            "cpu_milliseconds": cpu_milliseconds(images, min(count, 512)),
            "cores": os.cpu_count(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
