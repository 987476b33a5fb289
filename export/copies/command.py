"""`mekiki evaluate copies`: the table of what `mekiki duplicates` finds on one's own photos."""

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from export.copies.evaluation import Comparison, compare, false_pairs, photo_paths, readable, rows, threshold
from export.data import Columns, parse_source, read_sources, require_images
from export.embedding.edits import EDITS
from worker.duplicates.local_features import LocalFeatures
from worker.duplicates.read import CANDIDATES, Reader
from worker.model.bundle import Bundle, read_manifest
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.infer import Model
from worker.model.session import Execution

_log = logging.getLogger(__name__)
_SMALLEST = 10


def evaluate_copies(arguments: argparse.Namespace) -> int:
    """Edit photos, look for them among all, print a row an edit; 0 when done.

    Raises:
        DatasetError: the photos cannot be read, or are too few.
        ConfigurationError: OpenCV is not installed, or the bundle has no vectors.

    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    columns = Columns(arguments.path_column, arguments.label_column, arguments.group_column)
    dataset = read_sources([parse_source(source) for source in arguments.images], columns, arguments.encoding)
    manifest, identifier = read_manifest(arguments.bundle)
    model = Model(manifest, arguments.bundle, Execution(threads=arguments.threads))
    reader = Reader(Bundle(identifier, manifest, model, None), ImageLimits(), decode_inputs, LocalFeatures())
    examples, photos = readable(dataset.examples, reader)
    require_images(type(dataset)(tuple(examples)), _SMALLEST, "an evaluation")
    copies = np.random.default_rng(arguments.seed).permutation(len(photos))[: arguments.queries]
    count, began = arguments.candidates or CANDIDATES, time.monotonic()
    found = compare(
        photos, [int(i) for i in copies], EDITS, reader, count, workers=arguments.threads,
        progress=lambda edit: _log.info("%s: done after %.0f s", edit, time.monotonic() - began),
    )  # fmt: skip
    print(_table(found))  # noqa: T201 - what the command answers
    wrong, pairs = false_pairs(found)
    print(  # noqa: T201
        f"{len(copies)} photos edited, looked for among {len(photos)}; {count} candidates each; "
        f"the cut of agreement at one false pair in 10,000 of all is {threshold(found):.3f}\n"
        f"as served: {wrong} false pairs of {pairs:,} ({wrong / pairs:.1e}), which are these photos:"
    )
    for one, other in photo_paths(examples, found):
        print(f"  {_short(one)}  {_short(other)}")  # noqa: T201
    return 0


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _table(found: Comparison) -> str:
    lines = [
        "| edit | vector alone, 1e-4 | among the candidates | verified, 1e-4 | verified, as served |",
        "|---|---|---|---|---|",
    ]
    told = rows(found)
    for row in told:
        shares = (row.by_vector, row.among_candidates, row.at_false_rate, row.as_served)
        lines.append(f"| {row.edit} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    means = [
        np.mean([getattr(row, name) for row in told])
        for name in ("by_vector", "among_candidates", "at_false_rate", "as_served")
    ]
    lines.append("| **mean** | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
    return "\n".join(lines)
