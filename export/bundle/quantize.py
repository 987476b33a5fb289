"""Quantize: a bundle's convolutions in int8, with what that costs, or a refusal where it costs too much."""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle.changed import write_changed
from export.bundle.variants import Cost, cost_of, graph_of, read_images, to_int8
from export.errors import DatasetError, ExportError
from schemas.bundle import BundleManifest

# Of the distance that tells near-duplicates so much may a vector move. It moves across what sets two images
# apart, so that vectors of before and after at that distance lie at most a quarter farther from each other.
_MOST_MOVED = 0.75


@dataclass(frozen=True)
class Quantized:
    """The bundle that was written: its id, and what int8 costs on images that it was not fitted to."""

    bundle_id: str
    before: Cost
    after: Cost

    def __str__(self) -> str:
        moved = ", ".join(f"{name} {value:.4f}" for name, value in self.after.moved.items())
        return (
            f"{self.bundle_id}: {self.after.decisions_changed} of {self.after.images} decisions changed; "
            f"vectors moved by (99th percentile) {moved}; "
            f"{self.after.images_a_second / self.before.images_a_second:.2f} times as fast on one thread"
        )


def quantize(
    bundle: Path, images: NDArray[np.uint8], version: str, out: Path, most_changed: float = 0.001
) -> Quantized:
    """Write `bundle` with its graph in int8 to `out`, as `version`.

    Every second of `images` uint8 [n, height, width, 3] sets the ranges of int8, the others tell the cost.

    Raises:
        BundleError: the bundle is damaged.
        ExportError: it has several graphs, or int8 changes more than `most_changed` of the decisions, or
            moves vectors so far that those of before cannot stand beside them.
        DatasetError: `out` is there already, or there are too few images.

    """
    if out.exists():
        raise DatasetError(f"{out} is there already: give another folder")
    fitted, held = images[::2], images[1::2]
    if len(held) * most_changed < 1:
        raise DatasetError(
            f"{len(images)} images cannot tell {most_changed:.2%} of decisions: "
            f"it takes {2 / most_changed:.0f}"
        )
    manifest, name = graph_of(bundle)
    thresholds = manifest.block_thresholds()
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / name
        to_int8(bundle / name, graph, fitted)
        before, after = (cost_of(path, bundle / name, held, thresholds) for path in (bundle / name, graph))
        _refuse(manifest, after, most_changed)
        changed = manifest.model_copy(
            update={"version": version, "figures": {**manifest.figures, "int8": after.figures()}}
        )
        return Quantized(write_changed(bundle, changed, out, {name: graph}), before, after)


def quantize_bundle(arguments: argparse.Namespace) -> int:
    """`mekiki bundle quantize`: write a bundle in int8 and print what that costs; 0 when done.

    Raises:
        as `quantize`.

    """
    bundle = Path(arguments.bundle)
    (size,) = graph_of(bundle)[0].image_inputs()
    images = read_images(Path(arguments.images), size, arguments.most)
    print(quantize(bundle, images, arguments.version, Path(arguments.out), arguments.changed))  # noqa: T201
    return 0


def _refuse(manifest: BundleManifest, cost: Cost, most_changed: float) -> None:
    if cost.decisions_changed > most_changed * cost.images:
        raise ExportError(
            f"int8 changes {cost.decisions_changed} of {cost.images} decisions, at most {most_changed:.2%} "
            "may: stay with fp32, or give more images like those that you judge"
        )
    for head in (manifest.embedding, manifest.copies):
        if head is None:
            continue
        most, moved = _MOST_MOVED * head.near_duplicate_distance, cost.moved[head.output]
        if moved > most:
            raise ExportError(
                f"int8 moves {head.output} by {moved:.4f}, more than {most:.4f}: vectors of before could not "
                "stand beside them; stay with fp32"
            )
