"""What one would pick instead of the filter: RapidOCR's text detector, cut by area or by number of boxes.

    python -m export.render --kind svg_notice --count 200 --seed 900 --out runs/svg
    python -m export.starter.tables --data ../shared/data --out runs/products
    make .venv-bench/rapidocr/.installed
    python -m benchmarks.text_detector --notices runs/svg --products runs/products/test.csv

Notices that no training saw against held product photos; each score is cut where it flags the same share of
the photos. Both run on one thread, from the file's bytes; milliseconds are of CPU, medians.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle.take import parts_of_bundle
from export.data import Columns, parse_source, read_sources
from export.parts import output_of
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.infer import Model
from worker.model.session import Execution
from worker.settings import STARTER_BUNDLE

ROOT = Path(__file__).parents[1]
RATES = (0.003, 0.01, 0.05)  # of products flagged


@dataclass(frozen=True)
class Score:
    """One way to tell notices: values of both sets, and milliseconds of CPU an image [n] each."""

    name: str
    notices: NDArray[np.float64]
    products: NDArray[np.float64]
    milliseconds: list[float]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notices", required=True, metavar="SOURCE")
    parser.add_argument("--products", required=True, metavar="SOURCE")
    parser.add_argument("--most-notices", type=int, default=200)
    parser.add_argument("--most-products", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="that draws them")
    parser.add_argument("--peer", type=Path, default=ROOT / ".venv-bench" / "rapidocr" / "bin" / "python")
    given = parser.parse_args()
    notices = drawn(given.notices, given.most_notices, given.seed)
    products = drawn(given.products, given.most_products, given.seed)
    scores = [filtered(notices, products), *detected(given.peer, notices, products)]
    print(table(scores))


def drawn(source: str, most: int, seed: int) -> list[Path]:
    """At most so many of the images of a source, the same each time."""
    examples = read_sources([parse_source(source)], Columns()).examples
    chosen = np.random.default_rng(seed).permutation(len(examples))[:most]
    return [examples[int(i)].path.resolve() for i in sorted(chosen)]


def filtered(notices: Sequence[Path], products: Sequence[Path]) -> Score:
    """The starter's `text` score."""
    (part,) = parts_of_bundle(STARTER_BUNDLE, ["text"])
    manifest = part.part.manifest()
    model, inputs = Model(manifest, part.path, Execution(threads=1)), manifest.image_inputs()
    values, spent = [], []
    for path in [*notices, *products]:
        began = time.process_time()
        pixels = decode_inputs(path.read_bytes(), inputs, ImageLimits()).pixels
        values.append(float(output_of(model, manifest, [pixels[None]])[0]))
        spent.append(1000 * (time.process_time() - began))
    found = np.array(values)
    return Score("the starter's filter", found[: len(notices)], found[len(notices) :], spent)


def detected(python: Path, notices: Sequence[Path], products: Sequence[Path]) -> list[Score]:
    """RapidOCR's boxes: their share of the area, and their number."""
    done = subprocess.run(
        [python, "-m", "benchmarks.peers.rapidocr_boxes"],
        input="\n".join(map(str, [*notices, *products])), cwd=ROOT, stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    spent = [row["milliseconds"] for row in told]
    scores = []
    for key, name in (("area", "RapidOCR, area of boxes"), ("boxes", "RapidOCR, number of boxes")):
        values = np.array([row[key] for row in told], float)
        scores.append(Score(name, values[: len(notices)], values[len(notices) :], spent))
    return scores


def found_at(score: Score, rate: float) -> float:
    """The share of notices over a cut that at most this share of the products lie over."""
    falling = np.sort(score.products)[::-1]
    cut = falling[int(rate * len(falling))]
    return float((score.notices > cut).mean())


def table(scores: Sequence[Score]) -> str:
    """Markdown: notices found at each share of products flagged, and the cost."""
    heads = [f"notices found at {rate:.1%} of products" for rate in RATES]
    lines = [
        f"{len(scores[0].notices)} notices, {len(scores[0].products)} products",
        "",
        f"| score | {' | '.join(heads)} | ms of CPU an image |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for score in scores:
        cells = [f"{found_at(score, rate):.1%}" for rate in RATES]
        lines.append(f"| {score.name} | {' | '.join(cells)} | {statistics.median(score.milliseconds):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
