"""A worker on a GPU: its rate beside decoding alone and the model alone, and its first-use pauses.

    make bench-gpu        (python -m benchmarks.gpu --help)

On a machine with a card; `--provider cpu` is a dry run anywhere. On the same JPEGs, in turn, `--runs` times:

- decode: the worker's decoder children alone, on bytes in memory
- model: the graphs alone on pixels in memory, full batches
- worker: `mekiki score`, exactly once, from a folder through a real Apache Kafka

Each bucket is timed right after the warm-up, and again: what the first takes longer is a pause that a stream
would see.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.place import RESULTS, Bench, bench
from benchmarks.ways import mekiki
from worker.cores import cores
from worker.model.bundle import read_manifest
from worker.model.decoders import create_decoders, image_limits
from worker.model.infer import ImageBatch, Model
from worker.model.session import execution
from worker.settings import ModelSettings, Settings


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--provider", default="cuda", choices=("cpu", "cuda", "tensorrt", "openvino"))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=1200, help="of the longer side of each JPEG, in pixels")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    flags = parser.parse_args()
    settings = ModelSettings(
        provider=flags.provider,
        batch_size=flags.batch_size,
        batch_buckets=[2**power for power in range(flags.batch_size.bit_length())],
    )
    flags.environments, flags.before = Path(), None
    with bench(flags) as place:
        pauses = first_uses(settings)
        rounds = [one_round(place, settings, number) for number in range(flags.runs)]
    result = summary(rounds, pauses, flags)
    flags.out.parent.mkdir(exist_ok=True, parents=True)
    flags.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))


def one_round(place: Bench, settings: ModelSettings, number: int) -> dict[str, float]:
    """Images a second of the three ways."""
    images = [path.read_bytes() for path in sorted(place.folder.iterdir())[:512]]
    extra = {
        "MEKIKI_MODEL__PROVIDER": settings.provider,
        "MEKIKI_MODEL__BATCH_SIZE": str(settings.batch_size),
        "MEKIKI_MODEL__BATCH_BUCKETS": json.dumps(settings.batch_buckets),
        "MEKIKI_SCORE__MAX_IN_FLIGHT": str(8 * settings.batch_size),
    }
    found = {
        "decode": decode_alone(images, min(place.events, 4000)),
        "model": model_alone(settings, place.events),
        "worker": mekiki(place, f"gpu{number}.", settings=extra).rate,
    }
    print(
        f"  round {number + 1}  " + "  ".join(f"{way} {rate:.0f}/s" for way, rate in found.items()),
        flush=True,
    )
    return found


def decode_alone(images: Sequence[bytes], count: int) -> float:
    """Images a second of the decoder children, one a core."""
    (size,) = read_manifest(ModelSettings().bundle)[0].image_inputs()
    with create_decoders(Settings().decode) as decoders, ThreadPoolExecutor(2 * cores()) as pool:

        def decode(number: int) -> None:
            decoders.decode(images[number % len(images)], [size], image_limits(Settings().decode))

        list(pool.map(decode, range(2 * cores())))  # every child has started
        began = time.perf_counter()
        for _ in pool.map(decode, range(count)):
            pass
        return count / (time.perf_counter() - began)


def model_alone(settings: ModelSettings, count: int) -> float:
    """Images a second of the graphs in full batches."""
    model = loaded(settings)
    batch = pixels(model, settings.batch_size)
    began, done = time.perf_counter(), 0
    while done < count:
        model.infer(batch)
        done += settings.batch_size
    return done / (time.perf_counter() - began)


def first_uses(settings: ModelSettings) -> dict[int, float]:
    """Of each bucket by how many milliseconds its first batch after the warm-up outlasts the median."""
    model = loaded(settings)
    pauses = {}
    for bucket in execution(settings).buckets:
        seconds = []
        for _ in range(8):
            began = time.perf_counter()
            model.infer(pixels(model, bucket))
            seconds.append(time.perf_counter() - began)
        pauses[bucket] = 1e3 * (seconds[0] - statistics.median(seconds[1:]))
    return pauses


def loaded(settings: ModelSettings) -> Model:
    """The bundle's graphs, warm."""
    return Model(read_manifest(settings.bundle)[0], settings.bundle, execution(settings))


def pixels(model: Model, count: int) -> ImageBatch:
    """`count` grey images."""
    sizes = model.manifest.image_inputs()
    return ImageBatch([np.full((count, each.height, each.width, 3), 127, np.uint8) for each in sizes], {})


def summary(
    rounds: Sequence[dict[str, float]], pauses: dict[int, float], flags: argparse.Namespace
) -> dict[str, Any]:
    """Medians, and the worker's share of the larger of the other two, taken within a round."""
    return {
        "when": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": cores(), "onnxruntime": onnxruntime.__version__, "of": os.uname().machine},
        "command": {
            name: getattr(flags, name) for name in ("provider", "batch_size", "events", "runs", "side")
        },
        "images_per_second": {way: statistics.median(one[way] for one in rounds) for way in rounds[0]},
        "of_the_larger": statistics.median(
            one["worker"] / max(one["decode"], one["model"]) for one in rounds
        ),
        "of_the_smaller": statistics.median(
            one["worker"] / min(one["decode"], one["model"]) for one in rounds
        ),
        "first_use_pause_milliseconds": pauses,
    }


def table(result: dict[str, Any]) -> str:
    """The result for a person."""
    lines = [f"{way:8}{rate:10.0f} images/s" for way, rate in result["images_per_second"].items()]
    lines.append(
        f"worker {result['of_the_larger']:.2f} of the larger of decode and model, "
        f"{result['of_the_smaller']:.2f} of the smaller"
    )
    worst = max(result["first_use_pause_milliseconds"].values())
    lines.append(f"first use of a batch size after the warm-up: at most {worst:.1f} ms more")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
