"""Pictures on disk: a folder of any size is compared without being held in memory."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.duplicates.local_features import MAX_FEATURES, SMALL_SIDE, Picture


class PictureStore:
    """Up to `count` pictures in files under `folder`, 68 kB each. A place is written once, by one thread."""

    def __init__(self, folder: Path, count: int) -> None:
        def array(name: str, kind: type[np.generic], *shape: int) -> NDArray[np.generic]:
            return np.lib.format.open_memmap(
                folder / f"{name}.npy", "w+", np.dtype(kind), (max(count, 1), *shape)
            )

        self._points = array("points", np.float32, 2, MAX_FEATURES, 2)
        self._descriptors = array("descriptors", np.uint8, 2, MAX_FEATURES, 32)
        self._small = array("small", np.uint8, SMALL_SIDE, SMALL_SIDE)
        self._sizes = array("sizes", np.int32, 4)

    def put(self, place: int, picture: Picture) -> None:
        """Keep a picture at `place`."""
        height, width = picture.small.shape
        for side, (points, descriptors) in enumerate(
            (
                (picture.points, picture.descriptors),
                (picture.mirrored_points, picture.mirrored_descriptors),
            )
        ):
            self._points[place, side, : len(points)] = points
            self._descriptors[place, side, : len(points)] = descriptors
        self._small[place, :height, :width] = picture.small
        self._sizes[place] = (len(picture.points), len(picture.mirrored_points), height, width)

    def get(self, place: int) -> Picture:
        """The picture that was kept at `place`."""
        own, mirrored, height, width = map(int, self._sizes[place])
        return Picture(
            np.array(self._points[place, 0, :own]),
            np.array(self._descriptors[place, 0, :own]),
            np.array(self._points[place, 1, :mirrored]),
            np.array(self._descriptors[place, 1, :mirrored]),
            np.array(self._small[place, :height, :width]),
        )
