"""Checks of a bundle that was put together: parity with each Part, and a batch's row = the single row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import ParityError
from export.parts import PartFolder, Pixels, output_of, read_examples
from schemas.bundle import BundleManifest, ImageInput, head_name
from worker.model.infer import Model
from worker.model.session import Execution

PARITY = 1e-4  # of a head in the bundle, against what its network gave
ROW = 1e-5  # of a row in a batch, against the row alone
_ROWS = 4


def check_bundle(folder: Path, manifest: BundleManifest, found: Sequence[PartFolder]) -> dict[str, float]:
    """Run every head of the bundle in `folder`; gives the largest difference by head.

    Raises:
        ParityError: see the module; the message names the head and the Part that it came from.
        BundleError: a graph does not load or run.

    """
    model = Model(manifest, folder, Execution())
    for head in manifest.heads:
        _check_rows(model, manifest, head_name(head))
    differences = {}
    for part in found:
        examples = read_examples(part.path)
        if examples is None:
            continue
        pixels = _placed(manifest, part.part.manifest().image_inputs(), examples.pixels)
        ours = output_of(model, manifest, pixels, None, part.part.name)
        difference = float(np.abs(ours - examples.outputs).max())
        if difference > PARITY:
            raise ParityError(
                f"{part.part.name} of {part.origin} differs by {difference:.2g} from what its "
                f"network gave (more than {PARITY:g}): export it again on this machine"
            )
        differences[part.part.name] = difference
    return differences


def _check_rows(model: Model, manifest: BundleManifest, name: str) -> None:
    pixels = _random_pixels(manifest.image_inputs(), _ROWS)
    together = output_of(model, manifest, pixels, None, name)
    for row in range(_ROWS):
        alone = output_of(model, manifest, [part[row : row + 1] for part in pixels], None, name)
        difference = float(np.abs(alone[0] - together[row]).max())
        if difference > ROW * max(1.0, float(np.abs(alone).max())):
            raise ParityError(
                f"{name}: an image gives other numbers in a batch than alone (by {difference:.2g}); "
                "its graph must not normalise over the batch: export it in evaluation mode"
            )


def _random_pixels(inputs: Sequence[ImageInput], count: int) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (count, size.height, size.width, 3), dtype=np.uint8) for size in inputs]


def _placed(manifest: BundleManifest, own: Sequence[ImageInput], pixels: Pixels) -> list[NDArray[np.uint8]]:
    """A Part's pixels where the bundle takes them, and any pixels elsewhere."""
    given = dict(zip(own, pixels, strict=True))
    count = len(pixels[0])
    return [
        given[size] if size in given else _random_pixels([size], count)[0] for size in manifest.image_inputs()
    ]
