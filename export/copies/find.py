"""Find copies of one photo among the images of a training, in a bounded time, before they are split.

Near by the copy vector of the starter bundle first; then both pictures are laid over each other, as
`mekiki duplicates` does, nearest pairs first and for at most so many seconds.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from export.bundle.take import parts_of_bundle
from export.data import Dataset
from export.parts import PartFolder, run_part
from export.pixels import decode_dataset
from schemas.bundle import CopyHead
from worker.duplicates.groups import Groups
from worker.duplicates.local_features import SIDE, LocalFeatures, Picture
from worker.duplicates.nearest import nearest
from worker.model.decode import ImageLimits, decode_inputs
from worker.settings import STARTER_BUNDLE

SECONDS = 300.0
_CANDIDATES = 5
_SAME = 1e-6  # the distance of vectors of the same pixels; flat ones have no features to be verified by
_PICTURES = 4096  # kept, 68 kB each


def find_copies(dataset: Dataset, seconds: float = SECONDS) -> list[list[Path]]:
    """Groups of paths that show one photo; images that do not decode are in none.

    Args:
        dataset: the images.
        seconds: that comparing pictures may take; pairs that are left then stay apart, and are told.

    Raises:
        ConfigurationError: OpenCV is not installed.

    """
    compared = LocalFeatures()
    (part,) = parts_of_bundle(STARTER_BUNDLE, ["copy"])
    (image,) = part.part.manifest().image_inputs()

    @lru_cache(_PICTURES)
    def picture(path: Path) -> Picture:
        decoded = decode_inputs(path.read_bytes(), [image], ImageLimits(), luminance_side=SIDE)
        assert decoded.luminance is not None
        return compared.describe(decoded.luminance)

    groups: Groups[Path] = Groups()
    pairs = sorted(_near(dataset, part))
    ends = time.monotonic() + seconds
    for number, (distance, one, other) in enumerate(pairs):
        if time.monotonic() > ends:
            print(  # noqa: T201
                f"--copies find: {len(pairs) - number} of {len(pairs)} pairs were not compared in "
                f"{seconds:.0f} s and stay apart; `mekiki duplicates` looks at all of them",
                file=sys.stderr,
            )
            break
        if groups.together(one, other):
            continue
        if distance <= _SAME or compared.align(picture(one), picture(other)).is_copy:
            groups.join(one, other)
    return groups.members()


def _near(dataset: Dataset, part: PartFolder) -> Iterator[tuple[float, Path, Path]]:
    """Pairs within the distance that the copy head is served with: distance, and both paths."""
    head = part.part.head
    assert isinstance(head, CopyHead)
    (image,) = part.part.manifest().image_inputs()
    with tempfile.TemporaryDirectory(prefix="mekiki-copies-") as scratch:
        decoded = decode_dataset(dataset, image, storage=Path(scratch, "pixels.npy"), max_broken_share=1.0)
        vectors = run_part(part, [decoded.images])
    paths = [example.path for example in decoded.dataset.examples]
    for row, near in nearest(vectors, range(len(vectors)), _CANDIDATES):
        for other, distance in near:
            if distance <= head.near_duplicate_distance:
                one, two = sorted((paths[row], paths[other]))
                yield round(distance, 6), one, two
