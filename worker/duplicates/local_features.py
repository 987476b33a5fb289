"""Whether one picture is a copy of another: local features that lie alike, then pixels that agree.

ORB features (Rublee et al., 2011) of one picture are matched with those of the other and of its mirror
image, an affine map is fitted by RANSAC, and the two are laid over each other. What is drawn on a product
lies alike in two photos of it, too; only of a copy do the surroundings agree as well. By OpenCV
(opencv-python-headless), which releases the GIL.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from worker.errors import ConfigurationError, StageError

SIDE = 320  # longer side of the luminance that features are found on
SMALL_SIDE = 160  # longer side of the picture that pixels are compared in
MAX_FEATURES = 500
_LEAST_SIDE = 32  # of a picture: in a strip that is narrower no feature lies far enough from the edge
_REPROJECTION = 4.0  # pixels
_RATIO = 0.85  # of the nearest descriptor's distance to the second's (Lowe, 2004)
_BITS = 70  # of 256, in which matching descriptors may differ
_ITERATIONS = 500
_LEAST_MATCHES = 4
_WINDOW = 9  # pixels, in which luminance must correlate
_TEXTURE = 4.0  # standard deviation in a window that is more than noise
_CORRELATION = 0.6
_LARGEST_SCALE = 8.0

# What makes two pictures one photo; set on photos that docs/models.md names.
LEAST_INLIERS = 15
LEAST_OVERLAP = 0.5
LEAST_AGREEMENT = 0.6


@dataclass(frozen=True)
class Picture:
    """What is kept of an image.

    `points` is float32 [n, 2] in pixels of the longer side `SIDE`, `descriptors` uint8 [n, 32];
    `mirrored_...` the same of the mirror image; `small` uint8 [height, width], its longer side `SMALL_SIDE`.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    mirrored_points: NDArray[np.float32]
    mirrored_descriptors: NDArray[np.uint8]
    small: NDArray[np.uint8]


@dataclass(frozen=True)
class Alignment:
    """How two pictures lie over each other.

    `agreement` is the share of the textured part of their overlap in which luminance correlates, `overlap`
    the share of the smaller one that the overlap is, and `inliers` the features that one affine map takes
    to each other.
    """

    agreement: float = 0.0
    overlap: float = 0.0
    inliers: int = 0
    mirrored: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether both show one photo. Measured: docs/models.md."""
        return (
            self.inliers >= LEAST_INLIERS
            and self.overlap >= LEAST_OVERLAP
            and self.agreement >= LEAST_AGREEMENT
        )


class LocalFeatures:
    """Describes pictures and lays them over each other. Thread-safe.

    The time of both is bounded: by `MAX_FEATURES`, the pixels of `SIDE`, and the iterations of RANSAC.
    """

    def __init__(self) -> None:
        """Load the library.

        Raises:
            ConfigurationError: it is not installed.

        """
        self._cv = _library()
        self._cv.setNumThreads(1)  # who calls has threads of its own

    def describe(self, luminance: NDArray[np.uint8]) -> Picture:
        """The picture of a luminance, uint8 [height, width] of any size.

        Raises:
            StageError: OpenCV failed.

        """
        try:
            return self._described(luminance)
        except self._cv.error as error:
            raise StageError(f"features of {luminance.shape} pixels: {error}") from error

    def align(self, one: Picture, other: Picture) -> Alignment:
        """`one`, or else its mirror image, laid over `other`: the better of the two.

        Raises:
            StageError: OpenCV failed.

        """
        try:
            return self._better(one, other)
        except self._cv.error as error:
            raise StageError(f"comparing two pictures: {error}") from error

    def _described(self, luminance: NDArray[np.uint8]) -> Picture:
        fitted = self._fitted(luminance, SIDE)
        points, descriptors = self._features(fitted)
        mirrored = self._features(np.ascontiguousarray(fitted[:, ::-1]))
        soft = self._cv.GaussianBlur(fitted, (0, 0), 2)
        return Picture(points, descriptors, *mirrored, self._fitted(soft, SMALL_SIDE))

    def _better(self, one: Picture, other: Picture) -> Alignment:
        straight = self._aligned(one.points, one.descriptors, one.small, other)
        if straight.is_copy:
            return straight
        small = np.ascontiguousarray(one.small[:, ::-1])
        turned = self._aligned(one.mirrored_points, one.mirrored_descriptors, small, other)
        mirrored = Alignment(turned.agreement, turned.overlap, turned.inliers, mirrored=True)
        return max(straight, mirrored, key=lambda found: (found.is_copy, found.inliers))

    def _fitted(self, luminance: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        height, width = luminance.shape
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = self._cv.INTER_AREA if scale < 1 else self._cv.INTER_LINEAR
        return np.asarray(self._cv.resize(np.ascontiguousarray(luminance), size, interpolation=how), np.uint8)

    def _features(self, fitted: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if min(fitted.shape) < _LEAST_SIDE:
            return np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)
        # Made anew each time: a detector is not for many threads.
        detector = self._cv.ORB_create(nfeatures=MAX_FEATURES, fastThreshold=7, edgeThreshold=15)
        found, descriptors = detector.detectAndCompute(fitted, None)
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)
        points = np.array([point.pt for point in found[:MAX_FEATURES]], np.float32)
        return points, np.asarray(descriptors[:MAX_FEATURES], np.uint8)

    def _aligned(
        self,
        points: NDArray[np.float32],
        descriptors: NDArray[np.uint8],
        small: NDArray[np.uint8],
        other: Picture,
    ) -> Alignment:
        pairs = self._matches(descriptors, other.descriptors)
        if len(pairs) < LEAST_INLIERS:
            return Alignment()
        matrix, inside = self._cv.estimateAffine2D(
            points[pairs[:, 0]], other.points[pairs[:, 1]], method=self._cv.RANSAC,
            ransacReprojThreshold=_REPROJECTION, maxIters=_ITERATIONS, confidence=0.99,
        )  # fmt: skip
        if matrix is None or not np.isfinite(matrix).all():
            return Alignment()
        scale = abs(float(np.linalg.det(matrix[:, :2])))
        inliers = int(inside.sum())
        if inliers < LEAST_INLIERS or not _LARGEST_SCALE**-2 < scale < _LARGEST_SCALE**2:
            return Alignment(inliers=inliers)
        agreement, overlap = self._agreement(small, other.small, matrix, scale)
        return Alignment(agreement, overlap, inliers)

    def _matches(self, ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Rows of each side that match, int64 [matches, 2]."""
        if len(ours) < _LEAST_MATCHES or len(theirs) < _LEAST_MATCHES:
            return np.zeros((0, 2), np.int64)
        nearest = self._cv.BFMatcher(self._cv.NORM_HAMMING).knnMatch(ours, theirs, k=2)
        kept = [
            (first.queryIdx, first.trainIdx)
            for first, second in nearest
            if first.distance < min(_BITS, _RATIO * second.distance)
        ]
        return np.array(kept, np.int64).reshape(-1, 2)

    def _agreement(
        self, ours: NDArray[np.uint8], theirs: NDArray[np.uint8], matrix: NDArray[np.float64], scale: float
    ) -> tuple[float, float]:
        """Share of the overlap's textured part that correlates, and share that the overlap is."""
        cv, (height, width) = self._cv, theirs.shape
        moved = matrix * np.array([1, 1, SMALL_SIDE / SIDE])
        over = cv.warpAffine(ours, moved, (width, height)).astype(np.float32)
        inside = cv.warpAffine(np.full_like(ours, 255), moved, (width, height)) > 250
        shown = cv.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        below = theirs.astype(np.float32)
        (mean, spread), (mean_below, spread_below) = self._moments(over), self._moments(below)
        textured = shown & (np.maximum(spread, spread_below) > _TEXTURE)
        smaller = min(ours.size * scale, float(theirs.size))
        overlap = min(1.0, float(inside.sum()) / max(smaller, 1.0))
        if textured.sum() < _WINDOW**2:
            return 0.0, overlap
        together = cv.boxFilter(over * below, -1, (_WINDOW, _WINDOW)) - mean * mean_below
        agreeing = textured & (together > _CORRELATION * spread * spread_below)
        return float(agreeing.sum() / textured.sum()), overlap

    def _moments(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation around each pixel."""
        window = (_WINDOW, _WINDOW)
        mean = self._cv.boxFilter(image, -1, window)
        square = self._cv.boxFilter(image * image, -1, window) - mean * mean
        return mean, np.sqrt(np.maximum(square, 1e-3))


def _library() -> ModuleType:
    try:
        import cv2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"copies are verified by OpenCV, which cannot be loaded ({error}): install mekiki[duplicates]"
        ) from error
    library: ModuleType = cv2
    return library
