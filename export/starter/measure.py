"""Figures of a finished scorer on images that it was not trained on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from export.embedding.duplicates import distance_between, nearest_other, pairs_of_copies
from export.embedding.training import features_of
from export.embedding.trunk import Trunk
from export.metrics import Share
from export.starter.parts import THRESHOLD
from export.starter.photos import Photo

Scores = Mapping[str, NDArray[np.float32]]


def blocked(scores: Scores) -> NDArray[np.bool_]:
    """Which images the default policy blocks, for either reason."""
    result: NDArray[np.bool_] = (scores["text"] >= THRESHOLD) | (scores["qr"] >= THRESHOLD)
    return result


def share_blocked(scores: Scores) -> Share:
    """How many images of a set are blocked."""
    hits = blocked(scores)
    return Share.of(hits)


def auroc(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Area under the ROC curve of a score that should be higher inside."""
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return round(float(roc_auc_score(truth, np.concatenate([inside, outside]))), 5)


def copy_distances(
    trunk: Trunk, photos: list[Photo], pixels: NDArray[np.uint8], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances of edited copies to their photos, and of photos to their nearest neighbours."""
    opened = []
    for photo in photos:
        with Image.open(photo.path) as image:
            opened.append(image.convert("RGB"))
    copies = features_of(trunk, pairs_of_copies(opened, seed, pixels.shape[1])).embedding
    own = features_of(trunk, pixels).embedding
    return 1.0 - (copies * own).sum(axis=1), nearest_other(own)


def near_duplicate_distance(copies: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The manifest's distance: one photo in a hundred may have a false neighbour under it."""
    return distance_between(copies, others, 0.01)
